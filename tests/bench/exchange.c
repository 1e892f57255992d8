/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exchange: time requests and their answers over TCP, for the benchmark
 *
 *   exchange ADDRESS PORT KEY=VALUE...
 *
 * The server is a vnx-peer with flow=answer (guest/init/job.h).  An exchange is: a request
 * of send= bytes, and an answer of answer= bytes when it has all of them.
 *
 * Connects count= times, writes "ready", waits for a line on standard input, and uses each
 * connection for one exchange.
 *
 * A series: one after the other, each beginning at a random time within gap= microseconds
 * after the one before.  Per exchange a line:
 *
 *   acked=SECONDS answered=SECONDS      from its begin until the last byte was acknowledged
 *                                       (SIOCOUTQ is 0), and until the whole answer is there
 *
 * A load (clients=N): N at a time, as fast as they go.  When all are done a line:
 *
 *   done=N seconds=SECONDS
 *
 * Then it waits for the end of input, with the connections open.
 *
 * Other words: cc=NAME congestion control, seed=N of the random times.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OUTQ_POLL_NS = 200000, BLOCK_BYTES = 256 * 1024 };

static struct {
    struct sockaddr_in server;
    uint64_t send, answer, count, gap, clients, seed;
    char cc[16];
} config = { .count = 1, .cc = "cubic" };

static uint8_t block[BLOCK_BYTES];
static int *fds;                        /* connections, count of them */
static _Atomic uint64_t next_fd;

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "exchange: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t next_random(void)
{
    uint64_t z = (config.seed += 0x9e3779b97f4a7c15);   /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static int open_connection(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, config.cc,
                             strlen(config.cc)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        connect(fd, (struct sockaddr *)&config.server, sizeof(config.server)) < 0) {
        fail("connect");
    }
    return fd;
}

static void request(int fd)
{
    uint64_t head[2] = { htobe64(config.send), htobe64(config.answer) };
    uint64_t left = config.send;

    if (send(fd, head, sizeof(head), left ? MSG_MORE : 0) != sizeof(head)) {
        fail("send");
    }
    while (left) {
        ssize_t n = send(fd, block, left < sizeof(block) ? left : sizeof(block), 0);

        if (n < 0) {
            fail("send");
        }
        left -= n;
    }
}

/* Takes what there is of the answer; true if that was the rest of it. */
static bool take_answer(int fd, uint64_t *left)
{
    static __thread uint8_t sink[BLOCK_BYTES];
    ssize_t n;

    while (*left && (n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT)) != 0) {
        if (n < 0 && errno != EAGAIN) {
            fail("receive");
        }
        if (n < 0) {
            return false;
        }
        *left -= n;
    }
    if (*left) {
        fprintf(stderr, "exchange: the server closed early\n");
        exit(1);
    }
    return true;
}

/* One exchange; @acked may be NULL if nobody asks.  Returns its duration. */
static double exchange(int fd, double *acked)
{
    const struct timespec poll_time = { 0, OUTQ_POLL_NS };
    double begin = now(), answered = 0;
    bool waits_for_acks = acked;
    uint64_t left = config.answer;

    request(fd);
    while (waits_for_acks || !answered) {
        struct pollfd waiting = { .fd = fd, .events = answered ? 0 : POLLIN };
        int queued;

        if (waits_for_acks) {
            if (ioctl(fd, SIOCOUTQ, &queued) < 0) {
                fail("SIOCOUTQ");
            }
            if (queued == 0) {
                *acked = now() - begin;
                waits_for_acks = false;
                continue;
            }
        }
        ppoll(&waiting, 1, waits_for_acks ? &poll_time : NULL, NULL);
        if (!answered && waiting.revents && take_answer(fd, &left)) {
            answered = now() - begin;
        }
    }
    return answered;
}

static void run_series(void)
{
    for (uint64_t i = 0; i < config.count; i++) {
        double acked, answered;

        if (config.gap) {
            uint64_t us = next_random() % config.gap;
            struct timespec t = { us / 1000000, us % 1000000 * 1000 };

            clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        }
        answered = exchange(fds[i], &acked);
        printf("acked=%.6f answered=%.6f\n", acked, answered);
        fflush(stdout);
    }
}

static void *client(void *unused)
{
    uint64_t i;

    while ((i = next_fd++) < config.count) {
        exchange(fds[i], NULL);
    }
    return unused;
}

static void run_load(void)
{
    pthread_t *threads = calloc(config.clients, sizeof(*threads));
    double begin = now();

    for (uint64_t i = 0; i < config.clients; i++) {
        if (pthread_create(&threads[i], NULL, client, NULL)) {
            fail("thread");
        }
    }
    for (uint64_t i = 0; i < config.clients; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("done=%llu seconds=%.6f\n", (unsigned long long)config.count, now() - begin);
    fflush(stdout);
    free(threads);
}

static void parse_word(const char *word)
{
    static const struct {
        const char *key;
        uint64_t *value;
    } keys[] = {
        { "send", &config.send },       { "answer", &config.answer },
        { "count", &config.count },     { "gap", &config.gap },
        { "clients", &config.clients }, { "seed", &config.seed },
    };
    const char *equals = strchr(word, '=');
    size_t length = equals ? equals - word : 0;

    if (length == 2 && !strncmp(word, "cc", 2)) {
        snprintf(config.cc, sizeof(config.cc), "%s", equals + 1);
        return;
    }
    for (size_t i = 0; equals && i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strlen(keys[i].key) == length && !strncmp(word, keys[i].key, length)) {
            *keys[i].value = strtoull(equals + 1, NULL, 0);
            return;
        }
    }
    fprintf(stderr, "exchange: bad word %s\n", word);
    exit(2);
}

int main(int argc, char **argv)
{
    int c;

    if (argc < 3 || inet_pton(AF_INET, argv[1], &config.server.sin_addr) != 1) {
        fprintf(stderr, "usage: exchange ADDRESS PORT [key=value...]\n");
        return 2;
    }
    config.server.sin_family = AF_INET;
    config.server.sin_port = htons(atoi(argv[2]));
    for (int i = 3; i < argc; i++) {
        parse_word(argv[i]);
    }
    if (!config.answer) {
        fprintf(stderr, "exchange: answer= is needed, one byte at least\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    fds = calloc(config.count, sizeof(int));
    for (uint64_t i = 0; i < config.count; i++) {
        fds[i] = open_connection();
    }
    puts("ready");
    fflush(stdout);
    while ((c = getchar()) != '\n') {
        if (c == EOF) {
            return 0;
        }
    }
    if (config.clients) {
        run_load();
    } else {
        run_series();
    }
    while (getchar() != EOF) {
    }
    return 0;
}
