/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "fake_executor.h"
#include "solver/solver.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char home[64];
	struct store *store;
	struct fake fake;
	struct graph *graph;
	struct solve_result *result;
};

static void ok(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	fail_msg("%s", text);
}

static void setup(struct world *w)
{
	*w = (struct world){.home = "/tmp/cooper-solve-XXXXXX"};
	assert_non_null(mkdtemp(w->home));
	ok(store_open(w->home, &(struct store_options){0}, &w->store));
	fake_init(&w->fake, w->store);
	w->graph = graph_new();
}

static void teardown(struct world *w)
{
	solve_result_free(w->result);
	graph_free(w->graph);
	fake_fini(&w->fake);
	store_close(w->store);
	ok(tree_remove(AT_FDCWD, w->home));
}

static struct node *image(struct world *w, const char *ref)
{
	struct op op = {.kind = OP_IMAGE, .image = {.ref = ref, .platform = "linux/amd64"}};
	struct node *out = NULL;

	ok(graph_node(w->graph, &op, NULL, 0, NULL, &out));
	return out;
}

static struct node *step(struct world *w, const char *verb, const char *text, struct node *input)
{
	const char *argv[] = {verb, text, NULL};
	struct op op = {.kind = OP_EXEC, .exec = {.argv = argv, .cwd = "/"}};
	struct node *out = NULL;

	ok(graph_node(w->graph, &op, &input, 1, NULL, &out));
	return out;
}

/* The root is input 0, a bind mount makes the other one be read. */
static struct node *join(struct world *w, const char *text, struct node *a, struct node *b)
{
	const char *argv[] = {"append", text, NULL};
	const struct exec_mount m = {.kind = MOUNT_BIND, .target = "/m", .input = 1};
	struct op op = {.kind = OP_EXEC, .exec = {.argv = argv, .cwd = "/", .mounts = &m, .mount_count = 1}};
	struct node *inputs[] = {a, b}, *out = NULL;

	ok(graph_node(w->graph, &op, inputs, 2, NULL, &out));
	return out;
}

static struct node *copy_local(struct world *w, struct node *base)
{
	static const char *const all[] = {"", NULL};
	const struct file_action a = {.kind = FILE_COPY, .input = 1, .sources = all, .dest = "/"};
	struct op local = {.kind = OP_LOCAL, .local = {.name = "context"}};
	struct op op = {.kind = OP_FILE, .file = {&a, 1, false}};
	struct node *inputs[] = {base, NULL}, *out = NULL;

	ok(graph_node(w->graph, &local, NULL, 0, NULL, &inputs[1]));
	ok(graph_node(w->graph, &op, inputs, 2, NULL, &out));
	return out;
}

static struct err *try_solve(struct world *w, struct node *target, const struct solve_options *opt)
{
	static const struct solve_options none;

	solve_result_freep(&w->result);
	strvec_clear(&w->fake.ran);
	return solve(w->store, &w->fake.base, &target, 1, opt ? opt : &none, &w->result);
}

static const struct solved_node *solved(struct world *w, struct node *target, const struct solve_options *opt)
{
	ok(try_solve(w, target, opt));
	return solve_result_node(w->result, target);
}

static void a_second_solve_runs_and_fetches_nothing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	struct node *top = step(&w, "append", "b", step(&w, "append", "a", image(&w, "base")));
	const struct solved_node *first = solved(&w, top, NULL);
	assert_int_equal(first->snapshot.layers.len, 3);
	assert_false(first->cached);
	assert_int_equal(w.fake.ran.len, 2);
	AUTO_FREE char *id = mem_strdup(first->snapshot.layers.ptr[2]);
	w.fake.fetched = 0;
	const struct solved_node *second = solved(&w, top, NULL);
	assert_true(second->cached);
	assert_string_equal(second->snapshot.layers.ptr[2], id);
	assert_int_equal(w.fake.ran.len, 0);
	assert_int_equal(w.fake.fetched, 0);
	teardown(&w);
}

static void a_change_reruns_what_depends_on_it_only(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	struct node *left = step(&w, "append", "left", image(&w, "base"));
	ok(try_solve(&w, join(&w, "join", left, step(&w, "append", "right", image(&w, "base"))), NULL));
	assert_int_equal(w.fake.ran.len, 3);
	ok(try_solve(&w, join(&w, "join", left, step(&w, "append", "RIGHT", image(&w, "base"))), NULL));
	assert_int_equal(w.fake.ran.len, 2);
	assert_int_equal(fake_count(&w.fake, "append left"), 0);
	teardown(&w);
}

static void the_same_step_over_other_content_runs(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	ok(try_solve(&w, step(&w, "append", "tail", step(&w, "echo", "same", NULL)), NULL));
	assert_int_equal(fake_count(&w.fake, "append tail"), 1);
	ok(try_solve(&w, step(&w, "append", "tail", step(&w, "echo", "other", NULL)), NULL));
	assert_int_equal(fake_count(&w.fake, "append tail"), 1);
	teardown(&w);
}

static void a_rebuilt_input_of_equal_content_is_a_hit_on_its_own_base(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	/* Both make one layer "x" on scratch, by different definitions. */
	struct node *one = step(&w, "echo", "x", NULL), *two = step(&w, "append", "x", NULL);
	ok(try_solve(&w, step(&w, "append", "y", one), NULL));
	const struct solved_node *n = solved(&w, step(&w, "append", "y", two), NULL);
	assert_int_equal(fake_count(&w.fake, "append y"), 0);
	assert_int_equal(fake_count(&w.fake, "append x"), 1);
	assert_true(n->cached);
	assert_int_equal(n->snapshot.layers.len, 2);
	assert_string_equal(
		n->snapshot.layers.ptr[0], solve_result_node(w.result, two)->snapshot.layers.ptr[0]);
	/* and next time its own definition hits at once */
	assert_true(solved(&w, step(&w, "append", "y", two), NULL)->cached);
	assert_int_equal(w.fake.ran.len, 0);
	teardown(&w);
}

static void local_content_decides_not_its_place(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	struct node *top = copy_local(&w, image(&w, "base"));
	ok(try_solve(&w, top, NULL));
	assert_int_equal(fake_count(&w.fake, "copy"), 1);
	ok(try_solve(&w, top, NULL));
	assert_int_equal(w.fake.ran.len, 0);
	fake_set_local(&w.fake, "local v2");
	ok(try_solve(&w, top, NULL));
	assert_int_equal(fake_count(&w.fake, "copy"), 1);
	fake_set_local(&w.fake, "local v1");
	ok(try_solve(&w, top, NULL));
	assert_int_equal(w.fake.ran.len, 0);
	teardown(&w);
}

static void no_cache_runs_all_and_refreshes_the_records(void **state)
{
	struct world w;
	const struct solve_options no_cache = {.no_cache = true};

	(void)state;
	setup(&w);
	struct node *top = step(&w, "append", "b", step(&w, "append", "a", image(&w, "base")));
	ok(try_solve(&w, top, NULL));
	const struct solved_node *n = solved(&w, top, &no_cache);
	assert_int_equal(w.fake.ran.len, 2);
	AUTO_FREE char *fresh = mem_strdup(n->snapshot.layers.ptr[2]);
	assert_string_equal(solved(&w, top, NULL)->snapshot.layers.ptr[2], fresh);
	assert_int_equal(w.fake.ran.len, 0);
	teardown(&w);
}

static void isolated_neither_reads_nor_writes(void **state)
{
	struct world w;
	const struct solve_options isolated = {.isolated = true};

	(void)state;
	setup(&w);
	struct node *top = step(&w, "append", "a", image(&w, "base"));
	ok(try_solve(&w, top, &isolated));
	ok(try_solve(&w, top, &isolated));
	assert_int_equal(w.fake.ran.len, 1);
	ok(try_solve(&w, top, NULL));
	assert_int_equal(w.fake.ran.len, 1);
	teardown(&w);
}

/* Keys without results: the same ones that a solve gives. */
static void evaluation_gives_the_keys_of_a_solve(void **state)
{
	struct world w;
	const struct solve_options evaluate = {.evaluate = true};

	(void)state;
	setup(&w);
	struct node *top = step(&w, "append", "b", copy_local(&w, image(&w, "base")));
	struct node *fails = step(&w, "fail", "x", image(&w, "base"));
	struct digest key = solved(&w, top, &evaluate)->key;
	assert_true(digest_is_set(&key));
	assert_int_equal(solve_result_node(w.result, top)->snapshot.layers.len, 0);
	assert_string_equal(solve_result_node(w.result, image(&w, "base"))->pin.text, "base");
	assert_int_equal(w.fake.ran.len, 0);
	assert_int_equal(w.fake.fetched, 0);
	/* nothing was recorded: a solve runs all of it, and has that key */
	assert_true(digest_eq(&solved(&w, top, NULL)->key, &key));
	assert_int_equal(w.fake.ran.len, 2);
	/* a known result changes nothing */
	assert_true(digest_eq(&solved(&w, top, &evaluate)->key, &key));
	fake_set_local(&w.fake, "local v2");
	assert_false(digest_eq(&solved(&w, top, &evaluate)->key, &key));
	assert_int_equal(w.fake.ran.len, 0);
	/* what would fail when run is not run; what cannot be pinned fails */
	ok(try_solve(&w, fails, &evaluate));
	struct err *e = try_solve(&w, step(&w, "echo", "x", image(&w, "gone")), &evaluate);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
	teardown(&w);
}

static void salt_keeps_results_apart(void **state)
{
	struct world w;
	const struct solve_options salted = {.salt = "epoch=1"};

	(void)state;
	setup(&w);
	struct node *top = step(&w, "append", "a", image(&w, "base"));
	ok(try_solve(&w, top, NULL));
	ok(try_solve(&w, top, &salted));
	assert_int_equal(w.fake.ran.len, 1);
	ok(try_solve(&w, top, &salted));
	assert_int_equal(w.fake.ran.len, 0);
	teardown(&w);
}

static void a_failure_cancels_what_runs_and_is_the_news(void **state)
{
	struct world w;
	const struct solve_options two = {.jobs = 2};

	(void)state;
	setup(&w);
	struct node *slow = step(&w, "sleep", "", image(&w, "base"));
	struct node *bad = step(&w, "fail", "", image(&w, "base"));
	int64_t start = clock_monotonic();
	struct err *e = try_solve(&w, join(&w, "never", slow, bad), &two);
	assert_int_equal(err_kind(e), ERR_EXITED);
	assert_int_equal(err_exit_code(e), 7);
	assert_true(clock_monotonic() - start < 15 * CLOCK_SECOND);
	assert_int_equal(fake_count(&w.fake, "append never"), 0);
	err_free(e);
	/* nothing of it was recorded */
	e = try_solve(&w, bad, NULL);
	assert_int_equal(err_kind(e), ERR_EXITED);
	err_free(e);
	teardown(&w);
}

static void *cancel_soon(void *arg)
{
	usleep(100000);
	cancel_set(arg);
	return NULL;
}

static void the_callers_token_stops_a_running_step(void **state)
{
	struct world w;
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	const struct solve_options opt = {.cancel = cancel};
	pthread_t t;

	(void)state;
	setup(&w);
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, cancel), 0);
	struct err *e = try_solve(&w, step(&w, "sleep", "", NULL), &opt);
	pthread_join(t, NULL);
	assert_int_equal(err_kind(e), ERR_CANCELED);
	err_free(e);
	teardown(&w);
}

static void independent_steps_run_at_once_up_to_the_limit(void **state)
{
	struct world w;
	const struct solve_options three = {.jobs = 3}, one = {.jobs = 1};

	(void)state;
	setup(&w);
	struct node *top = NULL;
	for (int i = 0; i < 6; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		top = top ? join(&w, name, top, step(&w, "echo", name, NULL)) : step(&w, "echo", name, NULL);
	}
	w.fake.delay = CLOCK_SECOND / 20;
	ok(try_solve(&w, top, &three));
	assert_in_range(w.fake.most_at_once, 2, 3);
	w.fake.most_at_once = 0;
	w.fake.delay = 0;
	struct solve_options serial = one;
	serial.no_cache = true;
	ok(try_solve(&w, top, &serial));
	assert_int_equal(w.fake.most_at_once, 1);
	teardown(&w);
}

static void unreachable_and_missing_sources(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	image(&w, "gone"); /* in the graph, needed by nothing */
	ok(try_solve(&w, step(&w, "echo", "x", NULL), NULL));
	struct err *e = try_solve(&w, step(&w, "append", "x", image(&w, "gone")), NULL);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
	teardown(&w);
}

static void locked_pins_are_used_without_asking(void **state)
{
	struct world w;
	AUTO(map_freep) struct map *locked = map_new(NULL);
	struct source_pin pin = {.text = (char *)"pinned"};
	char key[DIGEST_TEXT_MAX];

	(void)state;
	setup(&w);
	struct node *gone = image(&w, "gone");
	digest_of("pinned", 6, &pin.digest);
	map_set_c(locked, digest_text(node_digest(gone), key), &pin);
	const struct solve_options opt = {.locked = locked};
	ok(try_solve(&w, step(&w, "append", "x", gone), &opt));
	assert_string_equal(solve_result_node(w.result, gone)->pin.text, "pinned");
	teardown(&w);
}

/* Two processes, one store, one slow step: it runs once. */
static void equal_steps_in_flight_run_once_across_processes(void **state)
{
	struct world w;
	int status = 0;
	unsigned total = 0;

	(void)state;
	setup(&w);
	store_close(w.store);
	w.store = NULL;
	pid_t pids[3];
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		struct store *s = NULL;
		struct err *e = store_open(w.home, &(struct store_options){0}, &s);
		struct fake f;
		fake_init(&f, s);
		f.delay = CLOCK_SECOND / 3;
		w.store = s;
		struct node *top = step(&w, "append", "slow", image(&w, "base"));
		struct solve_result *r = NULL;
		const struct solve_options none = {0};
		if (!e)
			e = solve(s, &f.base, &top, 1, &none, &r);
		_exit(e ? 100 : (int)fake_count(&f, "append slow"));
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), 100);
		total += (unsigned)WEXITSTATUS(status);
	}
	assert_int_equal(total, 1);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_solve_runs_and_fetches_nothing),
		cmocka_unit_test(a_change_reruns_what_depends_on_it_only),
		cmocka_unit_test(the_same_step_over_other_content_runs),
		cmocka_unit_test(a_rebuilt_input_of_equal_content_is_a_hit_on_its_own_base),
		cmocka_unit_test(local_content_decides_not_its_place),
		cmocka_unit_test(no_cache_runs_all_and_refreshes_the_records),
		cmocka_unit_test(isolated_neither_reads_nor_writes),
		cmocka_unit_test(evaluation_gives_the_keys_of_a_solve),
		cmocka_unit_test(salt_keeps_results_apart),
		cmocka_unit_test(a_failure_cancels_what_runs_and_is_the_news),
		cmocka_unit_test(the_callers_token_stops_a_running_step),
		cmocka_unit_test(independent_steps_run_at_once_up_to_the_limit),
		cmocka_unit_test(unreachable_and_missing_sources),
		cmocka_unit_test(locked_pins_are_used_without_asking),
		cmocka_unit_test(equal_steps_in_flight_run_once_across_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
