/* A link between two network devices of the kernel (TUN): each packet is passed on after a delay, at a rate, or lost.
 *
 * link NEAR FAR DELAY_MS LOSS_PERCENT RATE_MBIT SEED: NEAR and FAR are open descriptors of the two devices. The delay is
 * that of one way; rate, loss and a queue of one round trip, but of 256 KiB at least, are those of each direction.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST 1600
#define SLOTS 65536

struct packet {
    double due;
    int size;
    char bytes[MOST];
};

struct direction {
    int from, to;
    unsigned head, tail;
    double busy;
    struct packet *ring;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words) {
    if (count != 7) return 2;
    double delay = atof(words[3]) / 1e3, loss = atof(words[4]) / 100, rate = atof(words[5]) * 1e6 / 8;
    double queue = 2 * delay * rate > 262144 ? 2 * delay : 262144 / rate;
    struct direction ways[2] = {{atoi(words[1]), atoi(words[2])}, {atoi(words[2]), atoi(words[1])}};
    srand48(atol(words[6]));
    for (int i = 0; i < 2; i++) ways[i].ring = malloc(sizeof(struct packet) * SLOTS);
    for (;;) {
        double next = now() + 0.1;
        for (int i = 0; i < 2; i++) {
            struct direction *way = &ways[i];
            for (;;) {
                struct packet *packet = &way->ring[way->tail % SLOTS];
                int full = way->tail - way->head == SLOTS;
                int size = full ? -1 : read(way->from, packet->bytes, MOST);
                if (size <= 0) break;
                double time = now();
                if (drand48() < loss) continue;
                if (way->busy < time) way->busy = time;
                if (way->busy - time > queue) continue;
                way->busy += size / rate;
                packet->due = way->busy + delay;
                packet->size = size;
                way->tail++;
            }
            while (way->head != way->tail) {
                struct packet *packet = &way->ring[way->head % SLOTS];
                if (packet->due > now()) {
                    if (packet->due < next) next = packet->due;
                    break;
                }
                if (write(way->to, packet->bytes, packet->size) < 0) { /* the device is full: lost, as on any link */ }
                way->head++;
            }
        }
        double left = next - now();
        struct timespec patience = {0, left > 0 ? left * 1e9 : 0};
        struct pollfd ready[2] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};
        if (ppoll(ready, 2, &patience, NULL) < 0) return 1;
    }
}
