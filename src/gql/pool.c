/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that take tasks. One is the caller's; others are started when there are more tasks than threads
 * waiting for one, up to a limit. The last task added is taken first, which keeps few objects in work.
 */
#include "gql/execution_internal.h"

#include "base/mem.h"

#include <stdlib.h>

#define PARALLEL_DEFAULT 64

static struct found_tasks found_empty(void)
{
	return (struct found_tasks){.local = VEC_OF(struct task), .others = VEC_OF(struct task)};
}

static void found_fini(struct found_tasks *f)
{
	vec_fini(&f->local);
	vec_fini(&f->others);
}

void execution_init(struct gql_execution *ex)
{
	struct pool *p = &ex->pool;
	pthread_mutex_init(&ex->lock, NULL);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->tasks = VEC_OF(struct task);
	p->thread_max = (ex->hooks->parallel ? ex->hooks->parallel : PARALLEL_DEFAULT) - 1;
	p->threads = mem_array(p->thread_max + 1, sizeof(pthread_t));
	ex->errs = VEC_OF(struct err *);
}

static void stop_threads(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	p->thread_count = 0;
}

void execution_fini(struct gql_execution *ex)
{
	stop_threads(&ex->pool);
	for (size_t i = 0; i < ex->errs.len; i++)
		err_free(*(struct err **)vec_at(&ex->errs, i));
	vec_fini(&ex->errs);
	for (struct gql_taken *t = ex->taken; t; t = t->next)
		buf_fini(&t->text);
	vec_fini(&ex->pool.tasks);
	free(ex->pool.threads);
	map_freep(&ex->variables);
	pthread_cond_destroy(&ex->pool.changed);
	pthread_mutex_destroy(&ex->pool.lock);
	pthread_mutex_destroy(&ex->lock);
}

static struct task take_last(struct vec *tasks)
{
	struct task t = *(struct task *)vec_at(tasks, tasks->len - 1);
	tasks->len--;
	return t;
}

static void *thread_main(void *ctx);

/* Enough threads for the tasks there are; the caller takes one itself. Under the pool's lock. */
static void ensure_threads(struct gql_execution *ex)
{
	struct pool *p = &ex->pool;
	if (p->idle > 0)
		pthread_cond_broadcast(&p->changed);
	for (size_t n = p->idle + 1; n < p->tasks.len && p->thread_count < p->thread_max; n++) {
		if (pthread_create(&p->threads[p->thread_count], NULL, thread_main, ex) != 0)
			return; /* those there are do it */
		p->thread_count++;
		p->idle++; /* until it takes its first task */
	}
}

/* Add tasks so that the first is taken first. Under the pool's lock. */
static void add_tasks(struct pool *p, const struct vec *tasks)
{
	for (size_t i = tasks->len; i > 0; i--)
		vec_push_copy(&p->tasks, vec_at(tasks, i - 1));
}

/*
 * Do what this thread alone can do: tasks that the engine answers itself, and a chain of single fields, which
 * so takes no other thread. The rest is handed out.
 */
static void run_found(struct gql_execution *ex, struct found_tasks *found)
{
	for (;;) {
		if (found->local.len == 0 && found->others.len == 1) {
			vec_push_copy(&found->local, vec_at(&found->others, 0));
			vec_clear(&found->others);
		}
		if (found->local.len == 0)
			break;
		struct task t = take_last(&found->local);
		resolve_task(ex, &t, found);
	}
	if (found->others.len == 0)
		return;
	pthread_mutex_lock(&ex->pool.lock);
	add_tasks(&ex->pool, &found->others);
	ensure_threads(ex);
	pthread_mutex_unlock(&ex->pool.lock);
}

static void run_task(struct gql_execution *ex, struct task t)
{
	struct found_tasks found AUTO(found_fini) = found_empty();
	vec_push_copy(&found.local, &t);
	run_found(ex, &found);
}

/* Take a task and run it. Under the pool's lock, which is let go meanwhile. */
static void take_one(struct gql_execution *ex)
{
	struct pool *p = &ex->pool;
	struct task t = take_last(&p->tasks);
	p->busy++;
	pthread_mutex_unlock(&p->lock);
	run_task(ex, t);
	pthread_mutex_lock(&p->lock);
	p->busy--;
	if (p->busy == 0 && p->tasks.len == 0)
		pthread_cond_broadcast(&p->changed);
}

static void *thread_main(void *ctx)
{
	struct gql_execution *ex = ctx;
	struct pool *p = &ex->pool;
	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (p->tasks.len == 0) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		p->idle--;
		take_one(ex);
		p->idle++;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Until nothing is left to do. */
static void work(struct gql_execution *ex)
{
	struct pool *p = &ex->pool;
	pthread_mutex_lock(&p->lock);
	while (p->tasks.len > 0 || p->busy > 0) {
		if (p->tasks.len > 0)
			take_one(ex);
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

void execution_run(struct gql_execution *ex, struct gql_object *root, bool serial)
{
	if (!serial) {
		struct found_tasks found AUTO(found_fini) = found_empty();
		found_add(&found, root);
		run_found(ex, &found);
		work(ex);
		return;
	}
	for (size_t i = 0; i < root->plan->count; i++) {
		run_task(ex, (struct task){.object = root, .index = i});
		work(ex);
	}
}
