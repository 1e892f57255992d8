/*
 * vnx-sim: two TCP stacks, vTCP between them, and trouble in between
 *
 *   vnx-sim --seed 17 -v            one run, with a packet trace
 *   vnx-sim --seeds 0-999           many, each in a process of its own
 *   vnx-sim --seeds 0-99 --no-vtcp  the harness itself: the stacks back to back
 *   vnx-sim --seed 17 --set net-tx.loss=0.1 --set conns=1
 *
 * A failing seed prints one line that tells how to see it again.
 *
 * Many seeds run in forked children: a stack's globals are new in each, a crash or an
 * endless loop is that seed's failure, and a seed does the same alone as in company.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

/* Of real time, for one run: far beyond what a slow machine with ASan needs. */
#define HANG_S 30

typedef struct Options {
    uint64_t first, last;
    int theme;
    bool no_vtcp;
    bool verbose;
    bool list;
    bool stats;
    bool expect_early;
    bool compare;
    GPtrArray *sets;
    GString *again;             /* the options to repeat in a failure's line */
} Options;

static void usage(FILE *to)
{
    fprintf(to, "usage: vnx-sim [--seed N | --seeds A-B] [options]\n"
                "  --no-vtcp         the two stacks back to back\n"
                "  --theme NAME      instead of the seed's own\n"
                "  --set NAME=VALUE  set a knob by hand; may be given often\n"
                "  --list            print the knobs of each seed before its run\n"
                "  --stats           print vTCP's counters\n"
                "  --compare         run each seed without vTCP too, compare the times\n"
                "  --expect-early    over all seeds, vTCP must have acknowledged early\n"
                "  -v, --verbose     packet trace\n"
                "  --help            this, and all knobs\n");
}

static int theme_by_name(const char *name)
{
    for (int i = 0; i < SIM_THEME__MAX; i++) {
        if (!strcmp(name, sim_theme_names[i])) {
            return i;
        }
    }
    fprintf(stderr, "vnx-sim: no theme '%s'\n", name);
    exit(2);
}

static void parse(Options *o, int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "seeds", required_argument, NULL, 'S' },
        { "no-vtcp", no_argument, NULL, 'n' },
        { "theme", required_argument, NULL, 't' },
        { "set", required_argument, NULL, 'k' },
        { "list", no_argument, NULL, 'l' },
        { "stats", no_argument, NULL, 'c' },
        { "compare", no_argument, NULL, 'C' },
        { "expect-early", no_argument, NULL, 'e' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { 0 }
    };
    char *dash;
    int c;

    while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        switch (c) {
        case 's':
            o->first = o->last = strtoull(optarg, NULL, 0);
            break;
        case 'S':
            o->first = strtoull(optarg, &dash, 0);
            o->last = *dash == '-' ? strtoull(dash + 1, NULL, 0) : o->first;
            break;
        case 'n':
            o->no_vtcp = true;
            g_string_append(o->again, " --no-vtcp");
            break;
        case 't':
            o->theme = theme_by_name(optarg);
            g_string_append_printf(o->again, " --theme %s", optarg);
            break;
        case 'k':
            g_ptr_array_add(o->sets, optarg);
            g_string_append_printf(o->again, " --set %s", optarg);
            break;
        case 'l':
            o->list = true;
            break;
        case 'c':
            o->stats = true;
            break;
        case 'C':
            o->compare = true;
            break;
        case 'e':
            o->expect_early = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'h':
            usage(stdout);
            printf("\n");
            sim_scenario_help();
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind < argc || o->last < o->first) {
        usage(stderr);
        exit(2);
    }
}

static void scenario(const Options *o, uint64_t seed, SimScenario *sc)
{
    sim_scenario_from_seed(sc, seed, o->theme);
    if (o->no_vtcp) {
        sc->vtcp = 0;
    }
    for (unsigned i = 0; i < o->sets->len; i++) {
        if (!sim_scenario_set(sc, o->sets->pdata[i])) {
            fprintf(stderr, "vnx-sim: no knob in '%s' (see --help)\n",
                    (char *)o->sets->pdata[i]);
            exit(2);
        }
    }
}

/* Returns false when the child did not live to tell. */
static bool run_in_child(const SimScenario *sc, bool verbose, SimResult *result)
{
    int fds[2], status;
    size_t got = 0;
    pid_t pid;

    fflush(stdout);
    if (pipe(fds) < 0 || (pid = fork()) < 0) {
        perror("vnx-sim");
        exit(2);
    }
    if (pid == 0) {
        close(fds[0]);
        alarm(HANG_S);
        sim_run(sc, verbose, result);
        if (write(fds[1], result, sizeof(*result)) != sizeof(*result)) {
            _exit(3);
        }
        exit(0);                /* a leak check may turn this into a failure */
    }
    close(fds[1]);
    while (got < sizeof(*result)) {
        ssize_t n = read(fds[0], (char *)result + got, sizeof(*result) - got);

        if (n <= 0) {
            break;
        }
        got += n;
    }
    close(fds[0]);
    if (waitpid(pid, &status, 0) < 0) {
        perror("vnx-sim");
        exit(2);
    }
    if (got == sizeof(*result) && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (got == sizeof(*result) && result->failed) {
        return true;            /* a failed run may leak */
    }
    *result = (SimResult) { .failed = true };
    if (WIFSIGNALED(status)) {
        g_snprintf(result->failure, sizeof(result->failure), "%s (signal %d)",
                   WTERMSIG(status) == SIGALRM ? "hangs in real time" : "crashed",
                   WTERMSIG(status));
    } else {
        g_snprintf(result->failure, sizeof(result->failure),
                   "exit status %d (sanitizer, or a leak)", WEXITSTATUS(status));
    }
    return false;
}

static void print_stats(const VnxVtcpStats *s)
{
#define VNX_X(name, qmp, text) \
    if (s->name) { \
        printf("  %-22s %" PRIu64 "\n", qmp, s->name); \
    }
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
}

int main(int argc, char **argv)
{
    Options o = {
        .theme = -1, .sets = g_ptr_array_new(), .again = g_string_new(NULL),
    };
    uint64_t runs = 0, failures = 0, payload = 0;
    double with = 0, without = 0;
    VnxVtcpStats total = { 0 };
    bool ok;

    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(&o, argc, argv);
    for (uint64_t seed = o.first; seed <= o.last; seed++) {
        SimResult result = { 0 };
        SimScenario sc;

        scenario(&o, seed, &sc);
        if (o.list) {
            sim_scenario_print(&sc);
        }
        if (o.first == o.last) {
            sim_run(&sc, o.verbose, &result);
        } else {
            run_in_child(&sc, o.verbose, &result);
        }
        if (o.compare && !result.failed) {
            SimResult bare = { 0 };

            sc.vtcp = 0;
            run_in_child(&sc, false, &bare);
            with += result.seconds;
            without += bare.seconds;
            printf("seed %" PRIu64
                   " (%s): %.3f virtual seconds with vTCP, %.3f without\n",
                   seed, sim_theme_names[sc.theme], result.seconds, bare.seconds);
        }
        runs++;
        payload += result.payload;
#define VNX_X(name, qmp, text) total.name += result.stats.name;
        VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
        if (result.failed) {
            failures++;
            printf("FAILED (%s): %s  --  again: vnx-sim --seed %" PRIu64 "%s -v\n",
                   sim_theme_names[sc.theme], result.failure, seed, o.again->str);
        } else if (o.first == o.last) {
            printf("seed %" PRIu64 " (%s): %" PRIu64 " bytes in %.3f virtual seconds, %"
                   PRIu64 " acknowledged early\n", seed, sim_theme_names[sc.theme],
                   result.payload, result.seconds, result.stats.early_ack_bytes);
        }
    }
    if (o.stats) {
        print_stats(&total);
    }
    printf("lwIP %s: %" PRIu64 " runs, %" PRIu64 " failed; %.1f MB arrived, %.1f MB of "
           "them acknowledged early\n", sim_wide_a.version, runs, failures, payload / 1e6,
           total.early_ack_bytes / 1e6);
    ok = failures == 0;
    if (o.compare) {
        printf("%.3f virtual seconds with vTCP, %.3f without\n", with, without);
    }
    if (o.expect_early && total.early_ack_bytes < payload / 4) {
        printf("FAILED: vTCP hardly accelerated anything\n");
        ok = false;
    }
    g_ptr_array_free(o.sets, true);
    g_string_free(o.again, true);
    return ok ? 0 : 1;
}
