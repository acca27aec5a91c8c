"""Makes reprs.json: what real libraries send from a real ipykernel. Run it by hand when they change:

python -m venv lab && lab/bin/pip install ipykernel ipywidgets pandas jinja2 matplotlib plotly altair bokeh \
    scikit-learn xarray rich sympy folium tqdm
lab/bin/python tests/jupyter/safe/capture.py
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

CELLS = {
    "pandas": "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2], 'b': ['x', '<y>']})\ndf",
    "styler": "df.style.map(lambda v: 'color: red').set_caption('a caption').bar(subset=['a'])",
    "matplotlib": "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)); plt.show()",
    "matplotlib png": "plt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show()",
    "matplotlib svg": "%config InlineBackend.figure_formats = ['svg']\n"
    "plt.figure(figsize=(1, 1)); plt.axis('off'); plt.plot([1, 2]); plt.show()",
    "plotly": "import plotly.graph_objects as go\nfig = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name='a trace'),\n"
    "    layout={'template': 'none', 'width': 600, 'height': 400})\nfig.show(renderer='plotly_mimetype')",
    "plotly library": "fig.show(renderer='notebook')",
    "plotly connected": "fig.show(renderer='notebook_connected')",
    "altair": "import altair as alt\nalt.Chart(df).mark_bar().encode(x='a', y='b')",
    "altair mimetype": "alt.renderers.enable('mimetype')\nalt.Chart(df).mark_bar().encode(x='a', y='b')",
    "bokeh library": "from bokeh.plotting import figure, show\nfrom bokeh.io import output_notebook\noutput_notebook()",
    "bokeh": "p = figure(height=300); p.line([1, 2], [3, 4]); show(p)",
    "sklearn": "from sklearn.preprocessing import StandardScaler\nfrom sklearn.pipeline import make_pipeline\n"
    "make_pipeline(StandardScaler())",
    "xarray": "import xarray as xr, numpy as np\n"
    "xr.Dataset({'t': (('x', 'y'), np.zeros((2, 3)))}, coords={'x': [1, 2]})",
    "rich": "from rich.table import Table\nfrom rich.jupyter import print as rich_print\n"
    "t = Table('a', 'b'); t.add_row('1', '[red]2'); rich_print(t)",
    "sympy": "import sympy\nsympy.init_printing(use_latex='mathjax')\nx = sympy.symbols('x'); sympy.Integral(x**2, x)",
    "folium": "import folium\nfolium.Map([1, 2])",
    "markdown": "from IPython.display import *\ndisplay(Markdown('# A title\\n\\n**b** $x^2$ `c`'))",
    "markdown html": "display(Markdown('# A title\\n\\n<details><summary>s</summary>\\n\\n**b**\\n\\n</details>\\n\\n"
    "[site](https://example.org) $a_1 < b_1$\\n\\n|a|b|\\n|-|-|\\n|1|2|'))",
    "audio": "Audio(np.zeros(20), rate=8000)",
    "image": "Image(url='https://example.org/x.png')",
    "frame": "IFrame('https://example.org/', 300, 200)",
    "code": "Code('print(1)', language='python')",
    "geojson": "GeoJSON({'type': 'Point', 'coordinates': [1, 2]})",
    "json": "JSON({'a': [1, None]}, expanded=True)",
    "javascript": "Javascript('alert(1)')",
    "latex": "Latex(r'$\\frac{1}{2}$')",
    "progress": "display(ProgressBar(3))",
    "tqdm": "from tqdm.notebook import tqdm\nfor i in tqdm(range(2), desc='steps'): pass",
    "html": "HTML('<details><summary>more</summary><b>text</b></details>')",
}
LONG = 70_000
"""Characters; longer texts hold a library, of which the ends tell enough."""


def main() -> None:
    manager, client = start_new_kernel()
    outputs = {name: [_short(output) for output in _outputs(client, source)] for name, source in CELLS.items()}
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    libraries = (
        "pandas",
        "matplotlib",
        "plotly",
        "altair",
        "bokeh",
        "scikit-learn",
        "xarray",
        "rich",
        "sympy",
        "folium",
    )
    made_by = {name: metadata.version(name) for name in libraries}
    Path(__file__).with_name("reprs.json").write_text(
        json.dumps({"made_by": made_by, "outputs": outputs}, indent=1)
    )


def _outputs(client: Any, source: str) -> list[Any]:
    heard: list[Any] = []
    reply = client.execute_interactive(source, output_hook=heard.append, timeout=300)
    assert reply["content"]["status"] == "ok", reply["content"]
    return [
        message["content"]
        for message in heard
        if "data" in message["content"]
        and message["msg_type"] != "comm_open"
        and not message["msg_type"].startswith("comm")
    ]


def _short(output: Any) -> Any:
    data = {
        mime: value[:2000] + "\n...\n" + value[-1000:] if isinstance(value, str) and len(value) > LONG else value
        for mime, value in output["data"].items()
    }
    return {"data": data, "metadata": output["metadata"]}


if __name__ == "__main__":
    main()
