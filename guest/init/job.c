/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of a job; see job.h.
 *
 * Locking: the mutex guards connection counts, states and the pause flag; byte counters
 * are atomics, read by job_status() while threads add to them.  A connection's results
 * are written by its threads before its state becomes DONE or FAILED, constant then.
 */
#define _GNU_SOURCE         /* accept4() */
#include "job.h"
#include "sha256.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, DEFAULT_BLOCK_BYTES = 64 * 1024 };

typedef enum ConnState { CONN_OPEN, CONN_DONE, CONN_FAILED } ConnState;

/* One direction of a connection; used by one thread. */
typedef struct Stream {
    _Atomic uint64_t bytes;
    double first_seconds, last_seconds;     /* when the first and the last byte moved */
    char sha256[SHA256_HEX_BYTES];
    char error[96];
} Stream;

typedef struct Conn {
    Job *job;
    unsigned index;
    int fd;                                 /* -1 before and after */
    ConnState state;
    pthread_t thread;
    unsigned local_port, peer_port;
    unsigned retransmits;
    Stream sent, received;
} Conn;

struct Job {
    char *name;
    bool listens, sends, receives, answers, hashes, holds, expects;
    uint64_t bytes, seed, expected;
    size_t block_bytes;
    unsigned count;
    int listen_fd;
    unsigned port;
    struct sockaddr_storage remote;
    struct sockaddr_storage bind;
    unsigned from;
    socklen_t address_bytes;
    char congestion_control[16];
    int sndbuf, rcvbuf, mss, nodelay;
    uint8_t *block;                         /* flow=answer: what nobody looks at */

    atomic_bool finishing, dropping;
    pthread_mutex_t lock;
    pthread_cond_t changed;                 /* paused, finishing or dropping did */
    bool paused;
    pthread_t acceptor;
    unsigned n_conns;                       /* conns[0 .. n_conns) have a thread */
    Conn *conns;
};

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* splitmix64: a full-period mix of a counter, cheap under TCG; not for secrets. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void fill_random(uint64_t *state, uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word = next_random(state);

        memcpy(data + i, &word, sizeof(word));
    }
}

/* A zeroed, populated buffer that has room for a whole word past @bytes. */
static uint8_t *block_new(size_t bytes)
{
    void *p = mmap(NULL, bytes + sizeof(uint64_t), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void block_free(uint8_t *block, size_t bytes)
{
    munmap(block, bytes + sizeof(uint64_t));
}

static void stream_fail(Stream *stream, const char *what, int error)
{
    snprintf(stream->error, sizeof(stream->error), "%s: %s", what, strerror(error));
}

static void stream_moved(Stream *stream, size_t bytes)
{
    stream->last_seconds = now_seconds();
    if (atomic_fetch_add(&stream->bytes, bytes) == 0) {
        stream->first_seconds = stream->last_seconds;
    }
}

static bool may_read(const Job *job)
{
    return !job->paused || atomic_load(&job->dropping);
}

static bool may_close(const Job *job)
{
    return !job->holds || atomic_load(&job->finishing);
}

static void job_wait(Job *job, bool (*condition)(const Job *job))
{
    pthread_mutex_lock(&job->lock);
    while (!condition(job)) {
        pthread_cond_wait(&job->changed, &job->lock);
    }
    pthread_mutex_unlock(&job->lock);
}

/* Any bijection of (seed, index, role) will do: no two streams are equal. */
static uint64_t stream_seed(uint64_t seed, unsigned index, bool listens)
{
    return seed + ((uint64_t)index << 1 | listens) * 0xd1342543de82ef95;
}

/* Sends what the job says, closes this direction. */
static void conn_send(Conn *conn)
{
    Job *job = conn->job;
    Stream *stream = &conn->sent;
    uint64_t random = stream_seed(job->seed, conn->index, job->listens);
    uint8_t *block = block_new(job->block_bytes);
    uint64_t left = job->bytes;
    Sha256 hash;

    if (!block) {
        stream_fail(stream, "block", ENOMEM);
        return;
    }
    sha256_init(&hash);
    while (job->bytes ? left > 0 : !atomic_load(&job->finishing)) {
        size_t n = job->block_bytes;

        if (job->bytes && n > left) {
            n = left;
        }
        left -= n;
        if (job->hashes || stream->first_seconds == 0) {
            fill_random(&random, block, n);
        }
        if (job->hashes) {
            sha256_update(&hash, block, n);
        }
        for (size_t done = 0; done < n;) {
            ssize_t result = send(conn->fd, block + done, n - done, MSG_NOSIGNAL);

            if (result < 0 && errno == EINTR) {
                continue;
            }
            if (result < 0) {
                stream_fail(stream, "send", errno);
                goto out;
            }
            stream_moved(stream, result);
            done += result;
        }
    }
    sha256_hex(&hash, stream->sha256);
    job_wait(job, may_close);
    if (shutdown(conn->fd, SHUT_WR) < 0) {
        stream_fail(stream, "shutdown", errno);
    }
out:
    block_free(block, job->block_bytes);
}

/* Receives until the peer's end of stream. */
static void conn_receive(Conn *conn)
{
    Job *job = conn->job;
    Stream *stream = &conn->received;
    uint64_t random = stream_seed(job->expected, conn->index, !job->listens);
    uint8_t *block = block_new(job->block_bytes), *wanted = block_new(job->block_bytes);
    size_t held = 0;
    Sha256 hash;

    if (!block || !wanted) {
        stream_fail(stream, "block", ENOMEM);
        return;
    }
    sha256_init(&hash);
    for (;;) {
        ssize_t result;

        job_wait(job, may_read);
        result = recv(conn->fd, block + held, job->block_bytes - held, 0);
        if (result < 0 && errno == EINTR) {
            continue;
        }
        if (result < 0) {
            stream_fail(stream, "recv", errno);
        }
        if (result > 0) {
            stream_moved(stream, result);
            held += result;
        }
        if (result <= 0 || held == job->block_bytes) {
            if (job->hashes) {
                sha256_update(&hash, block, held);
            }
            if (job->expects) {
                fill_random(&random, wanted, job->block_bytes);
                if (memcmp(block, wanted, held)) {
                    stream_fail(stream, "not what was sent", EBADMSG);
                    break;
                }
            }
            held = 0;
        }
        if (result == 0) {
            sha256_hex(&hash, stream->sha256);
        }
        if (result <= 0) {
            break;
        }
    }
    block_free(block, job->block_bytes);
    block_free(wanted, job->block_bytes);
}

/* Reads, or sends, @left bytes of anything; false at the end of the stream or an error. */
static bool conn_move(Conn *conn, bool out, uint64_t left)
{
    uint8_t *block = conn->job->block;
    Stream *stream = out ? &conn->sent : &conn->received;

    while (left) {
        size_t n = left < conn->job->block_bytes ? left : conn->job->block_bytes;
        ssize_t result = out ? send(conn->fd, block, n, MSG_NOSIGNAL)
                             : recv(conn->fd, block, n, 0);

        if (result < 0 && errno == EINTR) {
            continue;
        }
        if (result < 0) {
            stream_fail(stream, out ? "send" : "recv", errno);
        }
        if (result <= 0) {
            return false;
        }
        stream_moved(stream, result);
        left -= result;
    }
    return true;
}

/* Answers requests until the peer's end of stream; see job.h. */
static void conn_answer(Conn *conn)
{
    uint64_t head[2];       /* bytes that follow, bytes of the answer */

    while (recv(conn->fd, head, sizeof(head), MSG_WAITALL) == sizeof(head) &&
           conn_move(conn, false, be64toh(head[0])) &&
           conn_move(conn, true, be64toh(head[1]))) {
    }
}

static void *send_thread(void *opaque)
{
    conn_send(opaque);
    return NULL;
}

static unsigned port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6
                 ? ((const struct sockaddr_in6 *)address)->sin6_port
                 : ((const struct sockaddr_in *)address)->sin_port);
}

static int thread_start(pthread_t *thread, void *(*run)(void *), void *opaque)
{
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(thread, &attributes, run, opaque);
    pthread_attr_destroy(&attributes);
    return error;
}

static void conn_run(Conn *conn)
{
    Job *job = conn->job;
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    struct tcp_info info = { 0 };
    pthread_t sender;
    uint8_t byte;
    int error;

    getsockname(conn->fd, (struct sockaddr *)&address, &length);
    conn->local_port = port_of(&address);
    length = sizeof(address);
    getpeername(conn->fd, (struct sockaddr *)&address, &length);
    conn->peer_port = port_of(&address);

    if (job->answers) {
        conn_answer(conn);
    } else if (job->sends && job->receives) {
        error = thread_start(&sender, send_thread, conn);
        if (error) {
            stream_fail(&conn->sent, "thread", error);
        }
        conn_receive(conn);
        if (!error) {
            pthread_join(sender, NULL);
        }
    } else if (job->sends) {
        conn_send(conn);
        /* The other end closes once it has everything: that, too, has to arrive. */
        if (!conn->sent.error[0]) {
            ssize_t result = recv(conn->fd, &byte, 1, 0);

            if (result < 0) {
                stream_fail(&conn->sent, "end", errno);
            } else if (result > 0) {
                snprintf(conn->sent.error, sizeof(conn->sent.error), "unexpected data");
            }
        }
    } else {
        conn_receive(conn);
    }
    length = sizeof(info);
    getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    conn->retransmits = info.tcpi_total_retrans;
}

static void conn_end(Conn *conn)
{
    Job *job = conn->job;

    pthread_mutex_lock(&job->lock);
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    conn->state = conn->sent.error[0] || conn->received.error[0] ? CONN_FAILED
                                                                 : CONN_DONE;
    pthread_mutex_unlock(&job->lock);
}

/* Options that an accepted socket inherits, so set before listen() or connect(). */
static const char *job_set_options(const Job *job, int fd)
{
    const int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (job->congestion_control[0] &&
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, job->congestion_control,
                   strlen(job->congestion_control)) < 0) {
        return "cc";
    }
    if (job->sndbuf &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &job->sndbuf, sizeof(int)) < 0) {
        return "sndbuf";
    }
    if (job->rcvbuf &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &job->rcvbuf, sizeof(int)) < 0) {
        return "rcvbuf";
    }
    if (job->mss && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &job->mss, sizeof(int)) < 0) {
        return "mss";
    }
    if (job->nodelay &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &job->nodelay, sizeof(int)) < 0) {
        return "nodelay";
    }
    return NULL;
}

static void *connect_thread(void *opaque)
{
    Conn *conn = opaque;
    Job *job = conn->job;
    const char *what = job_set_options(job, conn->fd);

    if (what) {
        stream_fail(&conn->sent, what, errno);
    } else if (job->bind.ss_family &&
               setsockopt(conn->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0) {
        stream_fail(&conn->sent, "reuse", errno);
    } else if (job->bind.ss_family &&
               bind(conn->fd, (struct sockaddr *)&job->bind, job->address_bytes) < 0) {
        stream_fail(&conn->sent, "bind", errno);
    } else if (connect(conn->fd, (struct sockaddr *)&job->remote,
                       job->address_bytes) < 0) {
        stream_fail(&conn->sent, "connect", errno);
    } else {
        conn_run(conn);
    }
    conn_end(conn);
    return NULL;
}

static void *accepted_thread(void *opaque)
{
    conn_run(opaque);
    conn_end(opaque);
    return NULL;
}

/*
 * Takes @fd (or -1) and starts the next connection's thread.  After job_drop() has begun
 * none is started: job_drop() would miss it.
 */
static bool job_add_conn(Job *job, int fd, void *(*run)(void *))
{
    bool started = false;

    pthread_mutex_lock(&job->lock);
    if (!atomic_load(&job->dropping)) {
        Conn *conn = &job->conns[job->n_conns];

        conn->job = job;
        conn->index = job->n_conns;
        conn->fd = fd;
        conn->state = CONN_OPEN;
        started = thread_start(&conn->thread, run, conn) == 0;
        job->n_conns += started;
    }
    pthread_mutex_unlock(&job->lock);
    if (!started) {
        close(fd);
    }
    return started;
}

static void *accept_thread(void *opaque)
{
    Job *job = opaque;

    for (unsigned i = 0; i < job->count; i++) {
        int fd = accept4(job->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0 || !job_add_conn(job, fd, accepted_thread)) {
            break;
        }
    }
    return NULL;
}

static bool parse_number(const char *value, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(value, &end, 0);
    return !errno && end != value && *end == '\0';
}

static bool parse_address(const char *host, struct sockaddr_storage *address,
                          socklen_t *bytes)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        address->ss_family = AF_INET;
        *bytes = sizeof(*v4);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        address->ss_family = AF_INET6;
        *bytes = sizeof(*v6);
    }
    return address->ss_family != 0;
}

static void set_port(struct sockaddr_storage *address, unsigned port)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

static bool job_set_word(Job *job, const char *key, const char *value)
{
    uint64_t number = 0;
    bool is_number = parse_number(value, &number);

    if (!strcmp(key, "role")) {
        job->listens = !strcmp(value, "listen");
        return job->listens || !strcmp(value, "connect");
    } else if (!strcmp(key, "flow")) {
        job->sends = !strcmp(value, "send") || !strcmp(value, "both");
        job->receives = !strcmp(value, "recv") || !strcmp(value, "both");
        job->answers = !strcmp(value, "answer");
        return job->sends || job->receives || job->answers;
    } else if (!strcmp(key, "hash")) {
        job->hashes = !strcmp(value, "yes");
        return job->hashes || !strcmp(value, "no");
    } else if (!strcmp(key, "hold")) {
        job->holds = !strcmp(value, "yes");
        return job->holds || !strcmp(value, "no");
    } else if (!strcmp(key, "addr")) {
        return parse_address(value, &job->remote, &job->address_bytes);
    } else if (!strcmp(key, "bind")) {
        return parse_address(value, &job->bind, &job->address_bytes);
    } else if (!strcmp(key, "cc")) {
        snprintf(job->congestion_control, sizeof(job->congestion_control), "%s", value);
        return true;
    } else if (!is_number) {
        return false;
    } else if (!strcmp(key, "port")) {
        job->port = number;
        return number <= 65535;
    } else if (!strcmp(key, "from")) {
        job->from = number;
        return number <= 65535;
    } else if (!strcmp(key, "bytes")) {
        job->bytes = number;
    } else if (!strcmp(key, "seed")) {
        job->seed = number;
    } else if (!strcmp(key, "expect")) {
        job->expects = true;
        job->expected = number;
    } else if (!strcmp(key, "count")) {
        job->count = number;
        return number > 0 && number <= 10000;
    } else if (!strcmp(key, "block")) {
        job->block_bytes = number;
        return number > 0 && number <= 1u << 30;
    } else if (!strcmp(key, "sndbuf")) {
        job->sndbuf = number;
    } else if (!strcmp(key, "rcvbuf")) {
        job->rcvbuf = number;
    } else if (!strcmp(key, "mss")) {
        job->mss = number;
    } else if (!strcmp(key, "nodelay")) {
        job->nodelay = number;
    } else {
        return false;
    }
    return true;
}

static void job_free(Job *job)
{
    if (job->listen_fd >= 0) {
        close(job->listen_fd);
    }
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->changed);
    if (job->block) {
        block_free(job->block, job->block_bytes);
    }
    free(job->conns);
    free(job->name);
    free(job);
}

static bool job_listen(Job *job, char error[JOB_ERROR_BYTES])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    const char *what;

    job->listen_fd = socket(job->remote.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    what = job->listen_fd < 0 ? "socket" : job_set_options(job, job->listen_fd);
    if (!what && bind(job->listen_fd, (struct sockaddr *)&job->remote,
                      job->address_bytes) < 0) {
        what = "bind";
    }
    if (!what && listen(job->listen_fd, 1024) < 0) {
        what = "listen";
    }
    if (what) {
        snprintf(error, JOB_ERROR_BYTES, "%s: %s", what, strerror(errno));
        return false;
    }
    getsockname(job->listen_fd, (struct sockaddr *)&address, &length);
    job->port = port_of(&address);
    if (thread_start(&job->acceptor, accept_thread, job) != 0) {
        snprintf(error, JOB_ERROR_BYTES, "cannot start a thread");
        return false;
    }
    return true;
}

Job *job_start(const char *name, char **words, int n_words, char error[JOB_ERROR_BYTES])
{
    Job *job = calloc(1, sizeof(*job));

    job->name = strdup(name);
    job->listen_fd = -1;
    job->count = 1;
    job->block_bytes = DEFAULT_BLOCK_BYTES;
    job->hashes = true;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->changed, NULL);

    for (int i = 0; i < n_words; i++) {
        char key[32];
        const char *equals = strchr(words[i], '=');

        if (!equals || equals - words[i] >= (int)sizeof(key)) {
            snprintf(error, JOB_ERROR_BYTES, "bad word %.100s", words[i]);
            goto fail;
        }
        snprintf(key, sizeof(key), "%.*s", (int)(equals - words[i]), words[i]);
        if (!job_set_word(job, key, equals + 1)) {
            snprintf(error, JOB_ERROR_BYTES, "bad word %.100s", words[i]);
            goto fail;
        }
    }
    if (!job->remote.ss_family || !(job->sends || job->receives || job->answers)) {
        snprintf(error, JOB_ERROR_BYTES, "addr= and flow= are needed");
        goto fail;
    }
    set_port(&job->remote, job->port);
    set_port(&job->bind, job->from);
    job->conns = calloc(job->count, sizeof(Conn));
    if (job->answers && !(job->block = block_new(job->block_bytes))) {
        snprintf(error, JOB_ERROR_BYTES, "no memory");
        goto fail;
    }

    if (job->listens) {
        if (!job_listen(job, error)) {
            goto fail;
        }
        return job;
    }
    for (unsigned i = 0; i < job->count; i++) {
        int fd = socket(job->remote.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || !job_add_conn(job, fd, connect_thread)) {
            snprintf(error, JOB_ERROR_BYTES, "cannot start connection %u", i);
            job_drop(job);
            return NULL;
        }
    }
    return job;

fail:
    job_free(job);
    return NULL;
}

const char *job_name(const Job *job)
{
    return job->name;
}

void job_status(Job *job, char *line, size_t size)
{
    unsigned in_state[3] = { 0 };
    uint64_t sent = 0, received = 0;

    pthread_mutex_lock(&job->lock);
    for (unsigned i = 0; i < job->n_conns; i++) {
        in_state[job->conns[i].state]++;
        sent += atomic_load(&job->conns[i].sent.bytes);
        received += atomic_load(&job->conns[i].received.bytes);
    }
    pthread_mutex_unlock(&job->lock);
    snprintf(line, size,
             "port=%u sent=%" PRIu64 " received=%" PRIu64 " open=%u done=%u failed=%u "
             "ended=%d", job->port, sent, received, in_state[CONN_OPEN],
             in_state[CONN_DONE], in_state[CONN_FAILED],
             in_state[CONN_DONE] + in_state[CONN_FAILED] == job->count);
}

void job_finish(Job *job)
{
    pthread_mutex_lock(&job->lock);
    atomic_store(&job->finishing, true);
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

void job_pause(Job *job, bool paused)
{
    pthread_mutex_lock(&job->lock);
    job->paused = paused;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

static double stream_seconds(const Stream *stream)
{
    return stream->last_seconds - stream->first_seconds;
}

void job_results(Job *job, void (*emit)(void *opaque, const char *line), void *opaque)
{
    static const char *const state_names[] = { "open", "done", "failed" };

    pthread_mutex_lock(&job->lock);
    for (unsigned i = 0; i < job->n_conns; i++) {
        const Conn *conn = &job->conns[i];
        bool ended = conn->state != CONN_OPEN;
        char line[640];

        snprintf(line, sizeof(line),
                 "conn=%u state=%s local=%u peer=%u sent=%" PRIu64 " received=%" PRIu64
                 " sent-sha256=%s received-sha256=%s sent-seconds=%.6f"
                 " received-seconds=%.6f retransmits=%u error=%s%s%s",
                 i, state_names[conn->state], conn->local_port, conn->peer_port,
                 atomic_load(&conn->sent.bytes), atomic_load(&conn->received.bytes),
                 ended ? conn->sent.sha256 : "", ended ? conn->received.sha256 : "",
                 stream_seconds(&conn->sent), stream_seconds(&conn->received),
                 conn->retransmits, ended ? conn->sent.error : "",
                 ended && conn->sent.error[0] && conn->received.error[0] ? ", " : "",
                 ended ? conn->received.error : "");
        emit(opaque, line);
    }
    pthread_mutex_unlock(&job->lock);
}

void job_drop(Job *job)
{
    pthread_mutex_lock(&job->lock);
    atomic_store(&job->dropping, true);
    atomic_store(&job->finishing, true);
    for (unsigned i = 0; i < job->n_conns; i++) {
        if (job->conns[i].fd >= 0) {
            /* A close that waits for nothing: the other end is told by RST at once. */
            const struct linger none = { .l_onoff = 1 };

            setsockopt(job->conns[i].fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
            shutdown(job->conns[i].fd, SHUT_RDWR);
        }
    }
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);

    if (job->listen_fd >= 0) {
        shutdown(job->listen_fd, SHUT_RDWR);    /* wakes accept() */
        pthread_join(job->acceptor, NULL);
    }
    for (unsigned i = 0; i < job->n_conns; i++) {
        pthread_join(job->conns[i].thread, NULL);
    }
    job_free(job);
}
