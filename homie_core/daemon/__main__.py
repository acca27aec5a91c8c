from homie_core.daemon.main import main

main()
