/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnx-peer: the end host of a test, in a guest (control over a virtio-serial port) and
 * on the host (control over a socket) alike.  It moves hashed random data over TCP
 * (job.h) and runs shell commands, as lines on standard input tell:
 *
 *   TAG run JOB KEY=VALUE...      start a job under a name; the words are job.h's
 *   TAG status|finish|pause|resume|results|drop JOB
 *   TAG exec COMMAND...           by /bin/sh; runs beside other requests
 *   TAG ping
 *
 * Each request is answered by lines that begin with its TAG (any word of the caller's):
 * "TAG . TEXT" any number of times, then one "TAG ok WORDS" or "TAG error MESSAGE".
 * End of input ends the program with whatever still runs: its owner is gone.
 */
#include "job.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 64, MAX_WORDS = 64 };

static Job *jobs[MAX_JOBS];
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;

static void __attribute__((format(printf, 3, 4)))
answer(const char *tag, const char *kind, const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&output_lock);
    printf("%s %s ", tag, kind);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&output_lock);
}

static Job **find_job(const char *name)
{
    for (int i = 0; i < MAX_JOBS; i++) {
        if (name ? jobs[i] && !strcmp(job_name(jobs[i]), name) : !jobs[i]) {
            return &jobs[i];
        }
    }
    return NULL;
}

static void do_run(const char *tag, char **words, int n_words)
{
    char error[JOB_ERROR_BYTES] = "";
    Job **slot = find_job(NULL);
    char line[256];

    if (!slot || find_job(words[0])) {
        answer(tag, "error", "%s", slot ? "job exists" : "too many jobs");
        return;
    }
    *slot = job_start(words[0], words + 1, n_words - 1, error);
    if (!*slot) {
        answer(tag, "error", "%s", error);
        return;
    }
    job_status(*slot, line, sizeof(line));
    answer(tag, "ok", "%s", line);
}

static void emit_result(void *opaque, const char *line)
{
    answer(opaque, ".", "%s", line);
}

static void do_job(char *tag, const char *verb, const char *name)
{
    Job **job = find_job(name);
    char line[256] = "";

    if (!job) {
        answer(tag, "error", "no job %s", name);
        return;
    }
    if (!strcmp(verb, "status")) {
        job_status(*job, line, sizeof(line));
    } else if (!strcmp(verb, "finish")) {
        job_finish(*job);
    } else if (!strcmp(verb, "pause") || !strcmp(verb, "resume")) {
        job_pause(*job, !strcmp(verb, "pause"));
    } else if (!strcmp(verb, "results")) {
        job_results(*job, emit_result, tag);
    } else if (!strcmp(verb, "drop")) {
        job_drop(*job);
        *job = NULL;
    } else {
        answer(tag, "error", "no verb %s", verb);
        return;
    }
    answer(tag, "ok", "%s", line);
}

typedef struct Exec {
    char *tag, *command;
} Exec;

static void *exec_thread(void *opaque)
{
    Exec *exec = opaque;
    FILE *pipe = popen(exec->command, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    if (!pipe) {
        answer(exec->tag, "error", "popen failed");
    } else {
        int status;

        while ((length = getline(&line, &size, pipe)) > 0) {
            line[length - (line[length - 1] == '\n')] = '\0';
            answer(exec->tag, ".", "%s", line);
        }
        status = pclose(pipe);
        answer(exec->tag, "ok", "status=%d",
               WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    free(line);
    free(exec->tag);
    free(exec->command);
    free(exec);
    return NULL;
}

static void do_exec(const char *tag, const char *command)
{
    Exec *exec = malloc(sizeof(*exec));
    pthread_t thread;

    exec->tag = strdup(tag);
    exec->command = strdup(command);
    if (pthread_create(&thread, NULL, exec_thread, exec) == 0) {
        pthread_detach(thread);
    } else {
        answer(tag, "error", "cannot start a thread");
    }
}

static void do_line(char *line)
{
    char *tag = strsep(&line, " ");
    char *verb = strsep(&line, " ");
    char *words[MAX_WORDS];
    int n_words = 0;

    if (!verb) {
        answer(tag, "error", "no verb");
        return;
    }
    if (!strcmp(verb, "ping")) {
        answer(tag, "ok", "%s", "");
        return;
    }
    if (!line) {
        answer(tag, "error", "%s wants more words", verb);
        return;
    }
    if (!strcmp(verb, "exec")) {
        do_exec(tag, line);
        return;
    }
    while (n_words < MAX_WORDS && (words[n_words] = strsep(&line, " "))) {
        n_words += words[n_words][0] != '\0';
    }
    if (n_words == 0) {
        answer(tag, "error", "%s wants more words", verb);
    } else if (!strcmp(verb, "run")) {
        do_run(tag, words, n_words);
    } else {
        do_job(tag, verb, words[0]);
    }
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    signal(SIGPIPE, SIG_IGN);
    while ((length = getline(&line, &size, stdin)) > 0) {
        line[length - (line[length - 1] == '\n')] = '\0';
        if (line[0]) {
            do_line(line);
        }
    }
    free(line);
    return 0;
}
