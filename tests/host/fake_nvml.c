/* A libnvidia-ml.so.1 for machines without a card. It plays the file named by FAKE_NVML, read at each call:

   init 0              the code that nvmlInitWithFlags returns
   count 0             the code that nvmlDeviceGetCount_v2 returns
   card 0 GPU-1 100 60 NVIDIA Thing
        |  |    |   |   name
        |  |    |   bytes of VRAM free
        |  |    bytes of VRAM in all
        |  uuid
        the code that everything about this card returns */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct card { int code; char uuid[96], name[96]; unsigned long long total, free; };
struct memory { unsigned long long total, free, used; };

static struct card cards[32];
static int cards_count, init_code, count_code, sessions;

static void look(void) {
    char line[256];
    FILE *file = fopen(getenv("FAKE_NVML"), "r");
    cards_count = 0;
    while (file && fgets(line, sizeof line, file)) {
        struct card *card = &cards[cards_count];
        sscanf(line, "init %d", &init_code);
        sscanf(line, "count %d", &count_code);
        cards_count += sscanf(line, "card %d %95s %llu %llu %95[^\n]", &card->code, card->uuid, &card->total,
                              &card->free, card->name) == 5;
    }
    if (file) fclose(file);
}

int nvmlInitWithFlags(unsigned flags) { look(); sessions += init_code == 0; return init_code; }
int nvmlShutdown(void) { sessions--; return 0; }
#ifndef OLD_DRIVER
int nvmlDeviceGetCount_v2(unsigned *count) {
    look();
    *count = cards_count;
    return sessions == 1 ? count_code : 1; /* 1: uninitialised; a second session would be a leak */
}
#endif
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) { *card = &cards[index]; return cards[index].code; }
int nvmlDeviceGetName(struct card *card, char *name, unsigned size) { strncpy(name, card->name, size); return 0; }
int nvmlDeviceGetUUID(struct card *card, char *uuid, unsigned size) { strncpy(uuid, card->uuid, size); return 0; }
int nvmlDeviceGetMemoryInfo(struct card *card, struct memory *memory) {
    *memory = (struct memory){card->total, card->free, card->total - card->free};
    return 0;
}
