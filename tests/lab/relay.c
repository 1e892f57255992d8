/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay: a bad network between two taps, for the lab (this kernel has no netem).
 *
 *   relay TAP TAP [seed=N] [loss=PERMILLE] [dup=PERMILLE] [reorder=PERMILLE]
 *                 [hold=MICROSECONDS] [ce=PERMILLE] [delay=MICROSECONDS]
 *                 [jitter=MICROSECONDS] [offload=1]
 *
 * Makes both taps (without a virtio-net header, so that the kernel hands over whole
 * frames with checksums; with offload=1 it hands over large ones that are not cut yet, as
 * a NIC with receive offloads would), writes "ready" to standard output, then carries
 * frames both ways until standard input ends; two last lines tell what it did, per
 * direction.  Frames keep their order but for reorder= of them, which are held for hold= (2 ms)
 * more; ce= of those that are ECN-capable are marked (RFC 3168).  What happens to the n-th frame of a direction depends on the seed and n only.
 *
 * A direction holds at most QUEUE_FRAMES; what comes then is lost (counted), as in any
 * router.
 */
#define _GNU_SOURCE         /* ppoll() */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_FRAMES = 4096, FRAME_BYTES = 68 * 1024, VNET_BYTES = 10 };

typedef struct Frame {
    struct Frame *next;
    int64_t due_ns;
    size_t bytes;
    uint8_t data[];
} Frame;

/* One direction; frames are kept in the order in which they leave. */
typedef struct Way {
    int in, out;
    uint64_t random;
    int64_t newest_due_ns;      /* of the frames that keep their order */
    Frame *first, *last;
    unsigned queued;
    uint64_t carried, lost, duplicated, reordered, marked, overflowed;
} Way;

static struct {
    uint64_t seed, loss, dup, reorder, hold, ce, delay, jitter, offload;
} config = { .hold = 2000 };

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint64_t next_random(Way *way)
{
    uint64_t z = (way->random += 0x9e3779b97f4a7c15);   /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool happens(Way *way, uint64_t permille)
{
    return next_random(way) % 1000 < permille;
}

static void enqueue(Way *way, const uint8_t *data, size_t bytes, int64_t due_ns)
{
    Frame **place = &way->first;
    Frame *frame;

    if (way->queued == QUEUE_FRAMES) {
        way->overflowed++;
        return;
    }
    frame = malloc(sizeof(*frame) + bytes);
    if (!frame) {
        abort();
    }
    frame->due_ns = due_ns;
    frame->bytes = bytes;
    memcpy(frame->data, data, bytes);
    if (way->last && way->last->due_ns <= due_ns) {
        place = &way->last->next;
    }
    while (*place && (*place)->due_ns <= due_ns) {
        place = &(*place)->next;
    }
    frame->next = *place;
    *place = frame;
    way->last = frame->next ? way->last : frame;
    way->queued++;
}

/* Congestion Experienced, if the frame is of an ECN-capable transport. */
static bool mark(uint8_t *data, size_t bytes)
{
    uint8_t *l2 = data + (config.offload ? VNET_BYTES : 0), *ip = l2 + 14;
    uint32_t sum;

    if (ip + 40 > data + bytes) {
        return false;
    }
    if (l2[12] == 0x86 && l2[13] == 0xdd && ip[1] & 0x30) {
        ip[1] |= 0x30;
        return true;
    }
    if (l2[12] == 0x08 && l2[13] == 0x00 && ip[1] & 3) {
        sum = (uint16_t)~(ip[10] << 8 | ip[11]);
        sum += (uint16_t)~ip[1] + (ip[1] | 3);          /* RFC 1624, the low byte of a word */
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        ip[1] |= 3;
        ip[10] = (uint16_t)~sum >> 8;
        ip[11] = ~sum;
        return true;
    }
    return false;
}

/* Reads what is there.  Always draws the same number of random values per frame. */
static void take(Way *way)
{
    uint8_t data[FRAME_BYTES];
    ssize_t bytes;

    while ((bytes = read(way->in, data, sizeof(data))) > 0) {
        bool lost = happens(way, config.loss);
        bool doubled = happens(way, config.dup);
        bool reordered = happens(way, config.reorder);
        bool congested = happens(way, config.ce);
        uint64_t jitter = next_random(way) % (config.jitter + 1);
        int64_t due = now_ns() + (config.delay + jitter) * 1000;

        if (lost) {
            way->lost++;
            continue;
        }
        if (congested && mark(data, bytes)) {
            way->marked++;
        }
        due = due < way->newest_due_ns ? way->newest_due_ns : due;
        way->newest_due_ns = due;
        if (reordered) {
            due += config.hold * 1000;
            way->reordered++;
        }
        enqueue(way, data, bytes, due);
        if (doubled) {
            enqueue(way, data, bytes, due);
            way->duplicated++;
        }
    }
}

/* Writes what is due; returns when the next frame is, INT64_MAX if there is none. */
static int64_t give(Way *way)
{
    while (way->first) {
        Frame *frame = way->first;

        if (frame->due_ns > now_ns()) {
            return frame->due_ns;
        }
        way->first = frame->next;
        way->last = way->first ? way->last : NULL;
        way->queued--;
        if (write(way->out, frame->data, frame->bytes) == (ssize_t)frame->bytes) {
            way->carried++;
        } else {
            way->overflowed++;      /* interface down: as lost as in a full queue */
        }
        free(frame);
    }
    return INT64_MAX;
}

static int open_tap(const char *name)
{
    struct ifreq request = {
        .ifr_flags = IFF_TAP | IFF_NO_PI | (config.offload ? IFF_VNET_HDR : 0),
    };
    unsigned offloads = config.offload ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, offloads) < 0) {
        fprintf(stderr, "relay: tap %s: %s\n", name, strerror(errno));
        exit(1);
    }
    return fd;
}

static void parse_word(const char *word)
{
    static const struct {
        const char *key;
        uint64_t *value;
    } keys[] = {
        { "seed", &config.seed },   { "loss", &config.loss },
        { "dup", &config.dup },     { "reorder", &config.reorder },
        { "hold", &config.hold },   { "ce", &config.ce },
        { "delay", &config.delay }, { "jitter", &config.jitter },
        { "offload", &config.offload },
    };
    const char *equals = strchr(word, '=');

    for (size_t i = 0; equals && i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t length = equals - word;

        if (strlen(keys[i].key) == length && !strncmp(word, keys[i].key, length)) {
            *keys[i].value = strtoull(equals + 1, NULL, 0);
            return;
        }
    }
    fprintf(stderr, "relay: bad word %s\n", word);
    exit(1);
}

int main(int argc, char **argv)
{
    Way ways[2] = { 0 };

    if (argc < 3) {
        fprintf(stderr, "usage: relay TAP TAP [key=value...]\n");
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        parse_word(argv[i]);
    }
    ways[0].in = ways[1].out = open_tap(argv[1]);
    ways[1].in = ways[0].out = open_tap(argv[2]);
    ways[0].random = config.seed;
    ways[1].random = ~config.seed;
    prctl(PR_SET_TIMERSLACK, 1);        /* nanoseconds: frames are due by the microsecond */
    puts("ready");
    fflush(stdout);

    for (;;) {
        struct pollfd fds[3] = {
            { .fd = STDIN_FILENO, .events = POLLIN },
            { .fd = ways[0].in, .events = POLLIN },
            { .fd = ways[1].in, .events = POLLIN },
        };
        int64_t next = INT64_MAX;
        struct timespec left, *timeout = NULL;

        for (int i = 0; i < 2; i++) {
            int64_t due = give(&ways[i]);

            next = due < next ? due : next;
        }
        if (next != INT64_MAX) {
            int64_t ns = next - now_ns();

            ns = ns < 0 ? 0 : ns;
            left = (struct timespec){ ns / 1000000000, ns % 1000000000 };
            timeout = &left;
        }
        if (ppoll(fds, 3, timeout, NULL) < 0 && errno != EINTR) {
            perror("relay: poll");
            return 1;
        }
        if (fds[0].revents) {
            break;
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i + 1].revents & POLLIN) {
                take(&ways[i]);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        Way *way = &ways[i];

        printf("%s carried=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64
               " reordered=%" PRIu64 " marked=%" PRIu64 " overflowed=%" PRIu64 "\n",
               i == 0 ? "forth" : "back", way->carried, way->lost, way->duplicated,
               way->reordered, way->marked, way->overflowed);
    }
    return 0;
}
