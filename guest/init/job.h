/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A job: some TCP connections of one kind that vnx-peer runs, each moving pseudo-random
 * bytes one or both ways, with every byte counted and hashed.
 *
 * Each connection is a thread or two with blocking sockets: plain on purpose, this is the
 * end host of a test and not what is tested.  A job is made by job_start(), looked at and
 * steered from the control thread while its own threads run, and ends with job_drop().
 *
 * Not thread-safe against itself: only the control thread calls these functions.
 */
#ifndef VNX_PEER_JOB_H
#define VNX_PEER_JOB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Job Job;

enum { JOB_ERROR_BYTES = 256 };

/*
 * What a job does, as key=value words:
 *   role=listen|connect   addr=ADDRESS   port=N (listen: 0 takes any)
 *   bind=ADDRESS from=PORT (0: any): the near end of connect
 *   flow=send|recv|both|answer   bytes=N to send per connection, 0: until job_finish()
 *   expect=N: the other end's seed; what arrives of a connection is compared, to the byte
 *            where it breaks off (as numbered there: count=1, or in the order of connecting)
 *   count=N connections   seed=N: what is sent, different per connection
 *   block=N: bytes per hash and write (default 64 KiB); with block = bytes, making the
 *            data and hashing it stays outside the time that is measured
 *   hash=yes|no (no: one random block again and again, for speed)
 *   hold=yes|no: after its bytes a sender keeps the connection open until job_finish()
 *   cc=NAME   sndbuf=N rcvbuf=N mss=N nodelay=1
 * flow=answer, for measurements: the peer sends requests, two big-endian 64-bit numbers
 * and as many bytes as the first says, and gets as many as the second says; no hashes.
 * Returns NULL with @error set when a word is wrong or the socket cannot be had; a
 * connection that fails later shows in status and results.  @name is copied.
 */
Job *job_start(const char *name, char **words, int n_words, char error[JOB_ERROR_BYTES]);

const char *job_name(const Job *job);

/* One line into @line: port, bytes moved so far, connections open, done and failed. */
void job_status(Job *job, char *line, size_t size);

/* Ends the sending of connections with bytes=0 at their next block, and hold=yes. */
void job_finish(Job *job);

/* Receivers stop calling read() until paused is false again. */
void job_pause(Job *job, bool paused);

/* Calls @emit with one line per connection that was made so far. */
void job_results(Job *job, void (*emit)(void *opaque, const char *line), void *opaque);

/* Resets what connections are open, waits for the threads, frees the job. */
void job_drop(Job *job);

#endif
