/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold: keep a thread off the CPU most of the time, as a busy neighbour would
 *
 *   hold FREEZER FROZEN_US RUNNING_US WATCHED_TID CORE
 *
 * FREEZER is a cgroup of the freezer hierarchy (version 1: it can freeze one thread of a
 * process) in which the thread is.  From "ready" on standard output until standard input
 * ends the thread is frozen for FROZEN_US, then free for RUNNING_US, and so on, by
 * absolute times, while a busy neighbour of the lowest priority has its CORE: an idle core
 * would sleep deeply, or go to whom we do not know.  Then it is free, and a last line says:
 *
 *   periods=N      how often it was frozen
 *   late=US        by how much the worst switch of 99 % of them was late
 *   stuck=N        periods in which WATCHED_TID, a thread that ought to go on, was found
 *                  waiting for a lock twice: the frozen thread may hold it
 *
 * The frozen thread has been seen to hold the lock of QEMU's main loop: that is the
 * experiment's fault and not that of who is measured, hence the count.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LATE_MAX_US = 10000 };

static int control_fd;
static unsigned late_us[LATE_MAX_US + 1];       /* histogram */
static uint64_t switches;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
    struct timespec t = { ns / 1000000000, ns % 1000000000 };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

/* A switch of state that was due at @ns. */
static void put(int fd, const char *word, int64_t ns)
{
    int64_t late;

    if (pwrite(fd, word, strlen(word), 0) < 0) {
        perror("hold: write");
        exit(1);
    }
    late = (now_ns() - ns) / 1000;
    late_us[late < LATE_MAX_US ? late : LATE_MAX_US]++;
    switches++;
}

static unsigned late_of_most(void)
{
    uint64_t seen = 0;
    unsigned us = 0;

    while (us < LATE_MAX_US && (seen += late_us[us]) < switches - switches / 100) {
        us++;
    }
    return us;
}

/* The thread sleeps in futex(), which is how QEMU waits for a lock. */
static bool waits_for_lock(int fd)
{
    char line[32];
    ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

    line[n > 0 ? n : 0] = '\0';
    return n > 0 && line[0] != 'r' && strtol(line, NULL, 10) == SYS_futex;
}

/* Who ends us in the middle shall not leave a thread that cannot even be killed. */
static void thaw_and_end(int signal)
{
    if (write(control_fd, "THAWED", 6) != 6) {
        _exit(2);
    }
    _exit(128 + signal);
}

/* Starts the busy neighbour; it ends with us. */
static void start_neighbour(int core)
{
    const struct sched_param none = { 0 };
    pid_t parent = getpid();
    cpu_set_t cores;

    if (fork() != 0) {
        return;
    }
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || sched_setaffinity(0, sizeof(cores), &cores) < 0 ||
        sched_setscheduler(0, SCHED_IDLE, &none) < 0) {
        _exit(1);
    }
    for (;;) {
        __asm__ volatile ("" : : : "memory");
    }
}

static bool input_ended(void)
{
    struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };

    return poll(&fd, 1, 0) > 0;
}

int main(int argc, char **argv)
{
    const struct sched_param first = { .sched_priority = 1 };
    int64_t frozen, running, at;
    unsigned periods = 0, stuck = 0;
    char path[256];
    int fd, watch;

    if (argc != 6) {
        fprintf(stderr, "usage: hold FREEZER FROZEN_US RUNNING_US WATCHED_TID CORE\n");
        return 2;
    }
    frozen = strtoll(argv[2], NULL, 10) * 1000;
    running = strtoll(argv[3], NULL, 10) * 1000;
    snprintf(path, sizeof(path), "/proc/%s/syscall", argv[4]);
    watch = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "%s/freezer.state", argv[1]);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || watch < 0 || frozen <= 0 || running <= 0) {
        fprintf(stderr, "hold: cannot hold %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    start_neighbour(atoi(argv[5]));
    control_fd = fd;
    signal(SIGTERM, thaw_and_end);
    signal(SIGINT, thaw_and_end);
    signal(SIGHUP, thaw_and_end);
    prctl(PR_SET_TIMERSLACK, 1);
    sched_setscheduler(0, SCHED_FIFO, &first);  /* if we may; "late" tells */
    puts("ready");
    fflush(stdout);

    at = now_ns();
    while (!input_ended()) {
        int waits = 0;

        put(fd, "FROZEN", at);
        for (int third = 1; third < 3; third++) {
            sleep_until(at + third * frozen / 3);
            waits += waits_for_lock(watch);
        }
        at += frozen;
        sleep_until(at);
        put(fd, "THAWED", at);
        at += running;
        sleep_until(at);
        periods++;
        stuck += waits == 2;
    }
    printf("periods=%u late=%u stuck=%u\n", periods, late_of_most(), stuck);
    return 0;
}
