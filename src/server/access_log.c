/* SPDX-License-Identifier: Apache-2.0 */
#include "server/access_log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX ((size_t)4 << 20)
#define FIELD_MAX 1024
#define AGENT_MAX 200
/* Lines of so long a time are written at once: waking for each costs more than writing it. */
#define GATHER_NS 10000000
#define WARN_EVERY (60 * CLOCK_SECOND)

struct access_log {
	char *path; /* NULL: standard output */
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct buf queued; /* whole lines; this and below under lock */
	uint64_t dropped;
	bool reopen, ending;
	/* of the thread */
	uint64_t told; /* of dropped */
	int64_t warned;
};

/* ---- lines ---- */

static void add_text(struct buf *b, const char *key, const char *text, size_t max)
{
	buf_addf(b, ",\"%s\":", key);
	if (!text) {
		buf_adds(b, "null");
		return;
	}
	size_t len = strnlen(text, max);
	buf_add_json(b, str_n(text, len));
}

static void add_line(struct buf *b, const struct access_entry *e)
{
	char time[CLOCK_TEXT_MAX];
	buf_addf(b, "{\"time\":\"%s\"", clock_rfc3339(e->time / 1000000 * 1000000, time));
	add_text(b, "peer", e->peer, FIELD_MAX);
	add_text(b, "method", e->method, FIELD_MAX);
	add_text(b, "path", e->path, FIELD_MAX);
	if (e->status)
		buf_addf(b, ",\"status\":%d", e->status);
	else
		buf_adds(b, ",\"status\":null");
	buf_addf(b, ",\"received\":%llu,\"sent\":%llu,\"cut\":%s,\"seconds\":%lld.%06lld",
		(unsigned long long)e->received, (unsigned long long)e->sent, e->cut ? "true" : "false",
		(long long)(e->duration / CLOCK_SECOND), (long long)(e->duration % CLOCK_SECOND / 1000));
	add_text(b, "token", e->token, FIELD_MAX);
	add_text(b, "agent", e->agent, AGENT_MAX);
	buf_adds(b, "}\n");
}

void access_log_add(struct access_log *log, const struct access_entry *e)
{
	AUTO_BUF struct buf line = {0};
	add_line(&line, e);
	pthread_mutex_lock(&log->lock);
	bool first = !log->queued.len;
	if (log->queued.len + line.len > QUEUE_MAX)
		log->dropped++;
	else
		buf_addstr(&log->queued, buf_str(&line));
	if (first)
		pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->lock);
}

void access_log_reopen(struct access_log *log)
{
	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	log->reopen = true;
	pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->lock);
}

uint64_t access_log_dropped(struct access_log *log)
{
	if (!log)
		return 0;
	pthread_mutex_lock(&log->lock);
	uint64_t n = log->dropped;
	pthread_mutex_unlock(&log->lock);
	return n;
}

/* ---- the writer ---- */

static struct err *open_file(const char *path, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	return *fd < 0 ? err_sys(errno, "opening the access log %s", path) : NULL;
}

static void warn(struct access_log *log, struct err *e)
{
	if (e && clock_monotonic() - log->warned >= WARN_EVERY) {
		AUTO_FREE char *text = err_text(e);
		log_warn("server: %s", text);
		log->warned = clock_monotonic();
	}
	err_free(e);
}

/* The file before stays in use when the new one cannot be opened. */
static void open_again(struct access_log *log)
{
	int fd = -1;
	if (!log->path)
		return;
	struct err *e = open_file(log->path, &fd);
	if (e) {
		warn(log, e);
		return;
	}
	close(log->fd);
	log->fd = fd;
}

static void count_lines(struct access_log *log, struct str lines)
{
	uint64_t n = 0;
	for (size_t i = 0; i < lines.len; i++)
		n += lines.ptr[i] == '\n';
	pthread_mutex_lock(&log->lock);
	log->dropped += n;
	pthread_mutex_unlock(&log->lock);
}

static bool write_all(struct access_log *log, struct str lines)
{
	while (lines.len) {
		ssize_t n = write(log->fd, lines.ptr, lines.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			warn(log, err_sys(errno, "writing the access log"));
			count_lines(log, lines);
			return false;
		}
		lines = str_skip(lines, (size_t)n);
	}
	return true;
}

static void tell_dropped(struct access_log *log, uint64_t dropped)
{
	char time[CLOCK_TEXT_MAX];
	if (dropped == log->told)
		return;
	AUTO_FREE char *line = mem_printf("{\"time\":\"%s\",\"dropped\":%llu}\n",
		clock_rfc3339(clock_now() / 1000000 * 1000000, time),
		(unsigned long long)(dropped - log->told));
	if (write_all(log, str_c(line)))
		log->told = dropped;
}

static void *run(void *arg)
{
	struct access_log *log = arg;
	for (bool ending = false; !ending;) {
		pthread_mutex_lock(&log->lock);
		while (!log->queued.len && !log->reopen && !log->ending)
			pthread_cond_wait(&log->work, &log->lock);
		if (!log->ending && !log->reopen) {
			pthread_mutex_unlock(&log->lock);
			(void)nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
			pthread_mutex_lock(&log->lock);
		}
		AUTO_BUF struct buf lines = log->queued;
		log->queued = (struct buf){0};
		bool reopen = log->reopen;
		uint64_t dropped = log->dropped;
		log->reopen = false;
		ending = log->ending;
		pthread_mutex_unlock(&log->lock);
		/* What was queued before the file was moved belongs to it. */
		if (write_all(log, buf_str(&lines)))
			tell_dropped(log, dropped);
		if (reopen)
			open_again(log);
	}
	return NULL;
}

struct err *access_log_open(const char *path, struct access_log **out)
{
	struct access_log *log = mem_new(struct access_log);
	struct err *e = NULL;
	log->warned = -WARN_EVERY;
	if (cstr_eq(path, "-")) {
		log->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
		e = log->fd < 0 ? err_sys(errno, "opening the standard output") : NULL;
	} else {
		log->path = mem_strdup(path);
		e = open_file(path, &log->fd);
	}
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->work, NULL);
	int r = e ? 0 : pthread_create(&log->thread, NULL, run, log);
	if (r)
		e = err_sys(r, "starting the access log");
	if (!e) {
		*out = log;
		return NULL;
	}
	fd_closep(&log->fd);
	mem_freep(&log->path);
	mem_freep(&log);
	return e;
}

void access_log_close(struct access_log *log)
{
	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	log->ending = true;
	pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->lock);
	pthread_join(log->thread, NULL);
	pthread_cond_destroy(&log->work);
	pthread_mutex_destroy(&log->lock);
	fd_closep(&log->fd);
	buf_fini(&log->queued);
	mem_freep(&log->path);
	mem_freep(&log);
}
