/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/cancel.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void exclusion(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_lock *a = NULL, *b = NULL, *c = NULL;
	bool waited = true;
	assert_ok(store_lock(s, "step 1/../x", false, NULL, &waited, &a));
	assert_false(waited);
	assert_ok(store_try_lock(s, "step 1/../x", false, &b));
	assert_null(b);
	assert_ok(store_try_lock(s, "step 1/../x", true, &b));
	assert_null(b);
	assert_ok(store_try_lock(s, "step 2", false, &b));
	assert_non_null(b);
	store_unlock(a);
	store_unlock(b);
	assert_ok(store_lock(s, "shared", true, NULL, NULL, &a));
	assert_ok(store_try_lock(s, "shared", true, &b));
	assert_non_null(b);
	assert_ok(store_try_lock(s, "shared", false, &c));
	assert_null(c);
	store_unlock(a);
	assert_ok(store_try_lock(s, "shared", false, &c));
	assert_null(c);
	store_unlock(b);
	assert_int_equal(count_names(*state, "locks"), 0);
}

static void cancelled(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct cancel *cancel AUTO(cancel_freep) = cancel_new();
	struct store_lock *a AUTO(store_unlockp) = NULL, *b = NULL;
	assert_ok(store_lock(s, "x", false, cancel, NULL, &a));
	cancel_set(cancel);
	assert_err(store_lock(s, "x", false, cancel, NULL, &b), ERR_CANCELED);
	assert_null(b);
}

struct contest {
	struct store *s;
	const struct cancel *cancel;
	int inside, most;
};

static void *contend(void *ctx)
{
	struct contest *c = ctx;
	for (int i = 0; i < 100; i++) {
		struct store_lock *l AUTO(store_unlockp) = NULL;
		bool waited = false;
		assert_ok(store_lock(c->s, "contest", false, i % 2 ? c->cancel : NULL, &waited, &l));
		int now = __atomic_add_fetch(&c->inside, 1, __ATOMIC_SEQ_CST);
		if (now > c->most)
			c->most = now;
		__atomic_sub_fetch(&c->inside, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void threads(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct cancel *cancel AUTO(cancel_freep) = cancel_new();
	struct contest c = {.s = s, .cancel = cancel};
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, contend, &c), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(c.most, 1);
	assert_int_equal(count_names(*state, "locks"), 0);
}

/* A killed holder lets go, and what it left is swept. */
static void killed_holder(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct store *mine = open_store(*state);
		struct store_lock *l = NULL;
		assert_ok(store_lock(mine, "held", false, NULL, NULL, &l));
		ssize_t n UNUSED = write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	char c;
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	struct store_lock *l = NULL;
	assert_ok(store_try_lock(s, "held", false, &l));
	assert_null(l);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(count_names(*state, "locks"), 1);
	assert_ok(store_sweep(s));
	assert_int_equal(count_names(*state, "locks"), 0);
	assert_ok(store_try_lock(s, "held", false, &l));
	assert_non_null(l);
	store_unlock(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exclusion, make_home, drop_home),
		cmocka_unit_test_setup_teardown(cancelled, make_home, drop_home),
		cmocka_unit_test_setup_teardown(threads, make_home, drop_home),
		cmocka_unit_test_setup_teardown(killed_holder, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store locks", tests, NULL, NULL);
}
