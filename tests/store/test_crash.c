/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that write, collect and sweep are killed at random moments, many times; after each round the store
 * must be sound. What a living process holds must survive the collecting of the others. COOPER_CRASH_ROUNDS
 * sets how many rounds, COOPER_CRASH_SEED repeats a run's choices.
 */
#include "helper.h"

#include "base/clock.h"
#include "sys/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 3, CHILDREN = 5 };

static unsigned number(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % below;
}

static void die(struct err *e, const char *doing)
{
	AUTO_FREE char *text = err_trace(e);
	fprintf(stderr, "%s: %s\n", doing, text);
	_exit(9);
}

#define must(call)                       \
	do {                             \
		struct err *_e = (call); \
		if (_e)                  \
			die(_e, #call);  \
	} while (0)

/* Few distinct contents, so that the children keep making and removing the same blobs. */
static struct digest some_blob(struct store *s, unsigned *seed)
{
	char text[300000];
	unsigned n = number(seed, 40);
	size_t len = n % 8 == 0 ? sizeof(text) : (size_t)n + 1;
	memset(text, 'a' + (int)n, len);
	struct digest d, want;
	digest_of(text, len, &want);
	struct store_blob_writer *w = NULL;
	must(store_blob_begin(s, &w));
	must(store_blob_write(w, text, len));
	must(store_blob_commit(w, &want, &d));
	return d;
}

static void write_image(struct store *s, unsigned *seed)
{
	struct digest config = some_blob(s, seed), layer = some_blob(s, seed), manifest = some_blob(s, seed);
	if (number(seed, 2))
		must(store_begin(s));
	bool tx = s->depth > 0;
	must(store_blob_link(s, &manifest, &config));
	must(store_blob_link(s, &manifest, &layer));
	char key[8], text[DIGEST_TEXT_MAX];
	snprintf(key, sizeof(key), "k%u", number(seed, 6));
	struct store_ref ref = {STORE_REF_BLOB, digest_text(&manifest, text)};
	struct store_record r = {.space = number(seed, 2) ? "tag" : "cache",
		.key = key,
		.value = str_c(text),
		.refs = &ref,
		.ref_count = 1};
	must(store_record_put(s, &r));
	bool deleted;
	if (number(seed, 3) == 0)
		must(store_record_delete(s, "tag", key, &deleted));
	if (tx)
		must(store_commit(s));
	/* Held, so they are there whatever the others collect. */
	int64_t size = -1;
	const struct digest *const mine[] = {&config, &layer, &manifest};
	for (size_t i = 0; i < ARRAY_LEN(mine); i++) {
		AUTO_BUF struct buf b = {0};
		must(store_blob_stat(s, mine[i], &size));
		if (size < 0)
			die(err_new(ERR_BUG, "a held blob is gone"), "checking");
		must(store_blob_read(s, mine[i], 1 << 20, &b));
	}
}

static void write_layer(struct store *s, unsigned *seed)
{
	struct store_tree_writer *w = NULL;
	must(store_tree_begin(s, &w));
	AUTO_FREE char *work = mem_printf("%s/work", store_tree_path(w));
	if (mkdir(work, 0755) < 0 || mkdirat(store_tree_fd(w), "d", 0755) < 0)
		_exit(8);
	must(file_replace(store_tree_fd(w), "d/f", "x", 1, 0644, false));
	if (number(seed, 5) == 0) {
		store_tree_abandon(w);
		return;
	}
	struct layer l = {.media_type = "t"}, got;
	must(store_tree_commit(w, 10, l.tree));
	must(store_layer_add(s, &l));
	if (number(seed, 2)) {
		l.blob = some_blob(s, seed);
		must(store_layer_update(s, &l));
	}
	char key[8];
	snprintf(key, sizeof(key), "l%u", number(seed, 4));
	struct store_ref ref = {STORE_REF_LAYER, l.id};
	struct store_record r = {
		.space = "cache", .key = key, .value = str_c(l.id), .refs = &ref, .ref_count = 1};
	must(store_record_put(s, &r));
	bool found = false;
	must(store_layer_get(s, l.id, &got, &found));
	AUTO_FREE char *file = mem_printf("%s/trees/%s/d/f", store_home(s), l.tree);
	if (!found || access(file, F_OK) < 0)
		die(err_new(ERR_BUG, "a held layer is gone"), "checking");
}

static void write_partial(struct store *s, unsigned *seed)
{
	struct store_partial *p = NULL;
	char name[8];
	snprintf(name, sizeof(name), "p%u", number(seed, 2));
	struct err *e = store_partial_open(s, name, true, &p);
	if (err_kind(e) == ERR_UNAVAILABLE) {
		err_ignore(e, "another child has it");
		return;
	}
	must(e);
	struct digest d;
	must(store_partial_append(p, "partial", 7));
	if (number(seed, 3))
		store_partial_close(p);
	else
		must(store_partial_commit(p, NULL, &d));
}

static void collect(struct store *s, unsigned *seed)
{
	struct store_gc_options opt = {.all = number(seed, 2), .keep_count = 3};
	struct store_gc_result r;
	must(store_gc(s, &opt, NULL, &r));
}

static void child(const char *home, int which, unsigned seed)
{
	/* Ends by itself when the test does. */
	for (pid_t parent = getppid(); getppid() == parent;) {
		struct store *s = NULL;
		must(store_open(home, NULL, &s));
		for (int i = 0; i < 20; i++) {
			unsigned what = number(&seed, 10);
			if (which >= WRITERS)
				collect(s, &seed);
			else if (what < 5)
				write_image(s, &seed);
			else if (what < 8)
				write_layer(s, &seed);
			else if (what < 9)
				write_partial(s, &seed);
			else
				must(store_sweep(s));
		}
		store_close(s);
	}
	_exit(0);
}

static void sleep_us(unsigned us)
{
	struct timespec ts = {.tv_nsec = (long)us * 1000};
	nanosleep(&ts, NULL);
}

static void check(const char *home, int round)
{
	struct store *s AUTO(store_closep) = open_store(home);
	AUTO_BUF struct buf text = {0};
	assert_ok(store_sweep(s));
	if (verify_problems(s, false, &text)) {
		print_error("round %d:\n%s", round, buf_cstr(&text));
		fail();
	}
	/* Only what this process uses itself is left. */
	assert_int_equal(count_names(home, "tmp"), s->tmp_fd >= 0);
	assert_int_equal(count_names(home, "locks"), s->lease_fd >= 0);
	struct store_usage u;
	assert_ok(store_usage(s, &u));
	assert_int_equal(u.tree_count, count_names(home, "trees"));
}

static void kill_at_random(void **state)
{
	const char *home = *state, *rounds_text = getenv("COOPER_CRASH_ROUNDS"),
		   *seed_text = getenv("COOPER_CRASH_SEED");
	int rounds = rounds_text ? atoi(rounds_text) : 40;
	unsigned seed = seed_text ? (unsigned)atoi(seed_text) : (unsigned)clock_now();
	print_message("COOPER_CRASH_SEED=%u\n", seed);
	for (int round = 0; round < rounds; round++) {
		pid_t pids[CHILDREN];
		for (int i = 0; i < CHILDREN; i++) {
			unsigned own = number(&seed, 1 << 24) + (unsigned)i;
			pids[i] = fork();
			assert_true(pids[i] >= 0);
			if (pids[i] == 0)
				child(home, i, own);
		}
		sleep_us(20000 + number(&seed, 150000));
		for (int i = 0; i < CHILDREN; i++) {
			int status = 0;
			sleep_us(number(&seed, 10000));
			kill(pids[i], SIGKILL);
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			/* It did not find anything wrong before. */
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		}
		check(home, round);
	}
	struct store *s AUTO(store_closep) = open_store(home);
	gc_all(s);
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kill_at_random, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store crashes", tests, NULL, NULL);
}
