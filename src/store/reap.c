/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * ext4 makes new files slowly for a while after others were deleted, so a build's trash waits for its end,
 * unless there is much of it.
 */
#define TRASH_WAITS 64
/* What closing the store spends on it; the rest is swept by the next process that writes. */
#define TRASH_TIME (30 * INT64_C(1000000))

struct reaper {
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t more;
	struct strvec queue;
	bool started, stop;
};

static bool stopping(struct reaper *r)
{
	pthread_mutex_lock(&r->mu);
	bool stop = r->stop;
	pthread_mutex_unlock(&r->mu);
	return stop;
}

/* Two levels entry by entry, so that the end of the process never waits for the whole of a large tree. */
static struct err *remove_by_parts(struct store *s, struct reaper *r, const char *path, int depth)
{
	AUTO_STRVEC struct strvec names = {0};
	struct stat st;
	if (depth < 3 && fstatat(s->tmp_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		err_ignore(dir_list(s->tmp_fd, path, &names), "removed as a whole then");
	for (size_t i = 0; i < names.len && !stopping(r); i++) {
		AUTO_FREE char *below = mem_printf("%s/%s", path, names.ptr[i]);
		TRY(remove_by_parts(s, r, below, depth + 1));
	}
	return stopping(r) ? NULL : tree_remove(s->tmp_fd, path);
}

static void *reap(void *ctx)
{
	struct store *s = ctx;
	struct reaper *r = s->reaper;
	pthread_mutex_lock(&r->mu);
	while (!r->stop) {
		if (r->queue.len == 0) {
			pthread_cond_wait(&r->more, &r->mu);
			continue;
		}
		AUTO_FREE char *name = mem_strdup(r->queue.ptr[0]);
		pthread_mutex_unlock(&r->mu);
		struct err *e = remove_by_parts(s, r, name, 0);
		if (e) {
			AUTO_FREE char *text = err_text(e);
			log_info("msg=\"removing in the background\" error=\"%s\"", text);
			err_ignore(e, "the next sweep tries again");
		}
		pthread_mutex_lock(&r->mu);
		if (!r->stop)
			strvec_remove(&r->queue, 0);
	}
	pthread_mutex_unlock(&r->mu);
	return NULL;
}

static struct reaper *reaper_of(struct store *s)
{
	pthread_mutex_lock(&s->lease_mu);
	if (!s->reaper) {
		s->reaper = mem_new(struct reaper);
		pthread_mutex_init(&s->reaper->mu, NULL);
		pthread_cond_init(&s->reaper->more, NULL);
	}
	struct reaper *r = s->reaper;
	pthread_mutex_unlock(&s->lease_mu);
	return r;
}

void store_trash(struct store *s, const char *name, bool at_once)
{
	if (unlinkat(s->tmp_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return;
	if (errno == ENOTDIR && unlinkat(s->tmp_fd, name, 0) == 0)
		return;
	struct reaper *r = reaper_of(s);
	pthread_mutex_lock(&r->mu);
	strvec_push(&r->queue, name);
	if (!r->started && (at_once || r->queue.len > TRASH_WAITS))
		r->started = pthread_create(&r->thread, NULL, reap, s) == 0;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->mu);
}

static void remove_waiting(struct store *s, struct reaper *r)
{
	int64_t until = clock_monotonic() + TRASH_TIME;

	while (r->queue.len && clock_monotonic() < until) {
		err_ignore(tree_remove(s->tmp_fd, r->queue.ptr[0]), "the next sweep tries again");
		strvec_remove(&r->queue, 0);
	}
}

bool store_reaper_stop(struct store *s)
{
	struct reaper *r = s->reaper;
	if (!r)
		return true;
	pthread_mutex_lock(&r->mu);
	r->stop = true;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->mu);
	if (r->started)
		pthread_join(r->thread, NULL);
	else
		remove_waiting(s, r);
	bool clean = r->queue.len == 0;
	strvec_fini(&r->queue);
	pthread_mutex_destroy(&r->mu);
	pthread_cond_destroy(&r->more);
	mem_freep(&s->reaper);
	return clean;
}
