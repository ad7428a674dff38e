/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "solver/solve_internal.h"

#include <poll.h>
#include <unistd.h>

struct pool {
	struct solve *s;
	struct cancel *done; /* set when nothing is left: wakes the thread that watches the caller's token */
};

static struct task *take_ready(struct solve *s)
{
	for (size_t i = 0; i < s->result->count; i++) {
		struct task *t = &s->result->tasks[i];
		if (t->state != TASK_READY)
			continue;
		t->state = TASK_RUNNING;
		s->ready--;
		s->running++;
		return t;
	}
	return NULL;
}

static bool finished(const struct solve *s)
{
	return s->running == 0 && (s->failure || s->ready == 0);
}

static void release_users(struct solve *s, struct task *t)
{
	for (size_t i = 0; i < t->users.len; i++) {
		struct task *user = *(struct task **)vec_at(&t->users, i);
		if (--user->missing)
			continue;
		user->state = TASK_READY;
		s->waiting--;
		s->ready++;
	}
}

/* Called with the lock held; gives it up while the task runs. */
static void run_one(struct solve *s, struct task *t)
{
	pthread_mutex_unlock(&s->lock);
	struct err *e = cancel_check(s->cancel);
	if (!e)
		e = task_run(s, t);
	if (!e && s->opt->on_result)
		s->opt->on_result(s->opt->on_result_ctx, t->out.node, &t->out.snapshot);
	if (e)
		cancel_set(s->cancel);
	pthread_mutex_lock(&s->lock);
	t->state = TASK_FINISHED;
	s->running--;
	if (!e) {
		release_users(s, t);
	} else if (s->failure && err_kind(s->failure) == ERR_CANCELED && err_kind(e) != ERR_CANCELED) {
		/* what made the others stop is the news, not that they stopped */
		err_ignore(s->failure, "a step was canceled because this one failed");
		s->failure = e;
	} else {
		s->failure = err_first(s->failure, e);
	}
	pthread_cond_broadcast(&s->wake);
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct solve *s = p->s;

	pthread_mutex_lock(&s->lock);
	while (!finished(s)) {
		struct task *t = s->failure ? NULL : take_ready(s);
		if (t)
			run_one(s, t);
		else
			pthread_cond_wait(&s->wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	cancel_set(p->done);
	return NULL;
}

/* Pass the caller's wish to stop on to the steps until they are done. */
static void watch(struct pool *p)
{
	struct pollfd fds[2] = {{.fd = cancel_fd(p->done), .events = POLLIN},
		{.fd = cancel_fd(p->s->opt->cancel), .events = POLLIN}};

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents) {
			cancel_set(p->s->cancel);
			fds[1].fd = -1;
		}
		if (fds[0].revents)
			return;
	}
}

struct err *solve_schedule(struct solve *s)
{
	AUTO(cancel_freep) struct cancel *done = cancel_new();
	struct pool p = {s, done};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t want = s->opt->jobs ? s->opt->jobs : (size_t)(cpus > 0 ? cpus : 1);
	size_t started = 0;

	if (want > s->ready + s->waiting)
		want = s->ready + s->waiting;
	AUTO_FREE pthread_t *threads = mem_array(want, sizeof(*threads));
	while (started < want && !pthread_create(&threads[started], NULL, worker, &p))
		started++;
	if (!started)
		return err_new(ERR_UNAVAILABLE, "starting a worker thread: the system has none left");
	watch(&p);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return steal(&s->failure);
}
