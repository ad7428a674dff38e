/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_fixture.h"

#include "base/clock.h"
#include "exec/stat_cache.h"
#include "sys/file.h"
#include "sys/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void digest_with(
	struct world *w, const struct file_action *a, const char *const *exclude, struct digest *out)
{
	struct op_file op = {.actions = a, .action_count = 1};
	struct node *n = file_node(w, &op, NULL, context_node(w, exclude));
	world_executor(w); /* as the next build would: nothing is remembered in memory */
	OK(w->ex->ops->content_digest(w->ex, n, 1, NULL, &w->io, out));
}

static const struct file_action copy_all = {.kind = FILE_COPY,
	.input = 1,
	.sources = (const char *const[]){"", NULL},
	.dest = "/",
	.dir_contents = true};

static void digest_all(struct world *w, struct digest *out)
{
	digest_with(w, &copy_all, NULL, out);
}

static void in_context(struct world *w, const char *script)
{
	struct process_request rq = {.argv = LIST("sh", "-ec", script), .dir = w->context};
	OK(process_run(&rq, NULL, NULL));
}

static void assert_same(const struct digest *a, const struct digest *b, bool same, const char *what)
{
	if (digest_eq(a, b) != same)
		fail_msg("%s: the digest %s", what, same ? "changed" : "stayed");
}

/* Each step changes the context; does the digest change? */
static const struct {
	const char *script;
	bool same;
} changes[] = {
	{"touch -d '2001-01-01' a", true},
	{"chown 5:5 a", true},
	{"cp a a2; mv a2 a", true},
	{"printf xx > a", false},
	{"printf xy > a", false}, /* equal size, at once */
	{"printf xz > a; touch -d '2001-01-01' a", false},
	{"mv a b", false},
	{"mv b a", false},
	{"chmod 600 a", false},
	{"mkdir empty", false},
	{"rmdir empty", false},
	{"ln -s a l", false},
	{"ln -sfn b l", false},
	{"rm l", false},
	{"ln a hard", false},
	{"rm hard; cp -p a hard", false},
	{"rm hard", false},
	{"truncate -s 1M sparse", false},
	{"rm sparse; head -c 1M /dev/zero > sparse", true},
};

static void test_changes(void **state)
{
	(void)state;
	struct world w;
	struct digest before, after, again;
	world_open(&w);
	make_context(&w, "f a = x\nd d\nf d/b = y");
	digest_all(&w, &before);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		in_context(&w, changes[i].script);
		digest_all(&w, &after);
		assert_same(&before, &after, changes[i].same, changes[i].script);
		digest_all(&w, &again);
		assert_same(&after, &again, true, "asked again");
		before = after;
	}
	world_close(&w);
}

/* The index answers once the files have settled, and an edit of equal size and time is still seen by its
 * ctime. */
static void test_settled_index(void **state)
{
	(void)state;
	struct world w;
	struct digest first, second;
	world_open(&w);
	make_context(&w, "f a = x\nf b = y");
	usleep(120000);
	digest_all(&w, &first);
	AUTO_FREE char *path = mem_printf("%s/a", w.context);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	AUTO_FREE char *real = realpath(w.context, NULL);
	struct stat_cache *c = stat_cache_open(w.store, real);
	struct stat_key k = {
		st.st_dev, st.st_ino, (uint64_t)st.st_size, stat_mtime_ns(&st), stat_ctime_ns(&st)};
	uint8_t found[32];
	assert_true(stat_cache_find(c, &k, found));
	k.mtime++;
	assert_false(stat_cache_find(c, &k, found));
	stat_cache_free(c);
	in_context(&w, "touch -r a stamp; printf z > a; touch -r stamp a; rm stamp");
	digest_all(&w, &second);
	assert_same(&first, &second, false, "equal size and mtime");
	world_close(&w);
}

static void test_racy_not_kept(void **state)
{
	(void)state;
	struct world w;
	world_open(&w);
	struct stat_cache *c = stat_cache_open(w.store, "/somewhere");
	int64_t now = stat_cache_clock();
	uint8_t d[32] = {1}, out[32];
	struct stat_key young = {1, 1, 5, now - 1000, now - 1000},
			old = {1, 2, 5, now - CLOCK_SECOND, now - CLOCK_SECOND};
	struct stat_key old_coarse = {1, 3, 5, 0, (now / CLOCK_SECOND - 1) * CLOCK_SECOND};
	struct stat_key future = {1, 4, 5, now + CLOCK_SECOND, now - CLOCK_SECOND};
	stat_cache_add(c, &young, d, now);
	stat_cache_add(c, &old, d, now);
	stat_cache_add(c, &old_coarse, d, now);
	stat_cache_add(c, &future, d, now);
	OK(stat_cache_save(c));
	stat_cache_free(c);
	c = stat_cache_open(w.store, "/somewhere");
	assert_false(stat_cache_find(c, &young, out));
	assert_true(stat_cache_find(c, &old, out));
	assert_memory_equal(out, d, 32);
	assert_false(stat_cache_find(c, &old_coarse, out));
	assert_false(stat_cache_find(c, &future, out));
	stat_cache_free(c);
	/* Damage counts as empty. */
	AUTO_FREE char *cmd = mem_printf(
		"f=$(echo %s/home/contexts/*.idx); printf Z | dd of=$f bs=1 seek=90 conv=notrunc 2>/dev/null",
		w.dir);
	struct process_request rq = {.argv = LIST("sh", "-ec", cmd)};
	OK(process_run(&rq, NULL, NULL));
	c = stat_cache_open(w.store, "/somewhere");
	assert_false(stat_cache_find(c, &old, out));
	stat_cache_free(c);
	world_close(&w);
}

/* What COPY does not select does not count. */
static void test_selection(void **state)
{
	(void)state;
	struct world w;
	struct digest before, after;
	struct file_action a = copy_all;
	world_open(&w);
	make_context(&w,
		"d src\nf src/a.c = 1\nf src/a.o = 1\nf README = 1\nd node_modules\nf node_modules/x = 1");
	a.sources = LIST("src");
	a.exclude = LIST("*.o");
	digest_with(&w, &a, LIST("node_modules"), &before);
	in_context(&w, "echo 2 > README; echo 2 > src/a.o; echo 2 > node_modules/x; touch src/b.o");
	digest_with(&w, &a, LIST("node_modules"), &after);
	assert_same(&before, &after, true, "what is not selected");
	in_context(&w, "echo 2 > src/a.c");
	digest_with(&w, &a, LIST("node_modules"), &after);
	assert_same(&before, &after, false, "what is selected");
	a = copy_all;
	digest_with(&w, &a, LIST("node_modules"), &before);
	in_context(&w, "echo 3 > node_modules/x");
	digest_with(&w, &a, LIST("node_modules"), &after);
	assert_same(&before, &after, true, "an ignored directory");
	world_close(&w);
}

/* "!" below a directory that is left out brings the directory along, and nothing else of it. */
static void test_taken_back(void **state)
{
	(void)state;
	const struct {
		const char *const *exclude;
		const char *expect;
	} table[] = {
		{LIST("*", "!src/lib/keep"), "d 755 0:0 src\nd 755 0:0 src/lib\nf 644 0:0 src/lib/keep"},
		{LIST("*", "!none/x"), ""},
		{LIST("**", "!**/*.go", "vendor"), "d 755 0:0 src\nf 644 0:0 src/a.go"},
		{LIST("src/*", "!src/lib", "src/lib/drop"),
			"d 755 0:0 src\nd 755 0:0 src/lib\nf 644 0:0 src/lib/keep\nd 755 0:0 vendor\nf 644 "
			"0:0 vendor/v.go"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct world w;
		struct snapshot out = {0};
		struct op_file op = {.actions = &copy_all, .action_count = 1};
		static const struct snapshot scratch;
		const struct snapshot *inputs[2] = {&scratch, NULL};
		world_open(&w);
		make_context(&w, "d src\nf src/a.go\nd src/lib\nf src/lib/keep\nf src/lib/drop\nd vendor\nf "
				 "vendor/v.go");
		struct node *n = file_node(&w, &op, NULL, context_node(&w, table[i].exclude));
		OK(w.ex->ops->run(w.ex, n, inputs, &w.io, &out));
		AUTO_FREE char *got = list_top(&w, &out);
		assert_string_equal(got, table[i].expect);
		snapshot_fini(&out);
		world_close(&w);
	}
}

static void test_hidden_source(void **state)
{
	(void)state;
	struct world w;
	struct file_action a = {.kind = FILE_COPY, .input = 1, .sources = LIST("build/out"), .dest = "/"};
	struct op_file op = {.actions = &a, .action_count = 1};
	struct digest d;
	world_open(&w);
	make_context(&w, "d build\nf build/out");
	struct node *n = file_node(&w, &op, NULL, context_node(&w, LIST("**/*.tmp", "build/")));
	fails(w.ex->ops->content_digest(w.ex, n, 1, NULL, &w.io, &d), ERR_NOT_FOUND,
		"rule \"build/\" leaves it out");
	fails(w.ex->ops->content_digest(w.ex, n, 1, NULL, &w.io, &d), ERR_NOT_FOUND,
		"\"/build/out\" does not exist in the context");
	world_close(&w);
}

/* Digested, then changed, then copied in one build: noticed, never copied under the wrong digest. */
static void test_changed_meanwhile(void **state)
{
	(void)state;
	static const char *const scripts[][2] = {
		{"printf yy > a", "changed while the build ran"},
		{"rm a", "vanished while the build ran"},
		{"rm a; ln -s /etc/passwd a", "vanished while the build ran"},
		{"mv d e", "vanished while the build ran"},
	};
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct world w;
		struct digest d;
		static const struct snapshot scratch;
		const struct snapshot *inputs[2] = {&scratch, NULL};
		struct snapshot out = {0};
		struct op_file op = {.actions = &copy_all, .action_count = 1};
		world_open(&w);
		make_context(&w, "f a = xx\nd d\nf d/f");
		struct node *n = file_node(&w, &op, NULL, context_node(&w, NULL));
		OK(w.ex->ops->content_digest(w.ex, n, 1, NULL, &w.io, &d));
		in_context(&w, scripts[i][0]);
		fails(w.ex->ops->run(w.ex, n, inputs, &w.io, &out), ERR_UNAVAILABLE, scripts[i][1]);
		world_close(&w);
	}
}

static void test_permission(void **state)
{
	(void)state;
	struct world w;
	struct digest d;
	struct op_file op = {.actions = &copy_all, .action_count = 1};
	world_open(&w);
	assert_int_equal(chmod(w.dir, 0755), 0);
	make_context(&w, "d d\nf d/secret 0 = x\nd closed 0");
	struct node *n = file_node(&w, &op, NULL, context_node(&w, LIST("closed")));
	struct node *m = file_node(&w, &op, NULL, context_node(&w, LIST("d")));
	if (seteuid(65534) < 0) {
		world_close(&w);
		skip();
	}
	struct err *file = w.ex->ops->content_digest(w.ex, n, 1, NULL, &w.io, &d);
	struct err *dir = w.ex->ops->content_digest(w.ex, m, 1, NULL, &w.io, &d);
	assert_int_equal(seteuid(0), 0);
	fails(file, ERR_DENIED, "permission denied to read d/secret (mode 0000, owner 0)");
	fails(dir, ERR_DENIED, "permission denied to read closed");
	world_close(&w);
}

/* ---- racing swaps ---- */

struct race {
	struct world *w;
	atomic_bool stop;
};

static void *swap(void *arg)
{
	struct race *r = arg;
	AUTO_FREE char *dir = mem_printf("%s/dir", r->w->context);
	AUTO_FREE char *old = mem_printf("%s/old", r->w->context);
	AUTO_FREE char *link = mem_printf("%s/link", r->w->context);
	while (!r->stop) {
		if (rename(dir, old) == 0 && rename(link, dir) == 0) {
			rename(dir, link);
			rename(old, dir);
		}
	}
	return NULL;
}

static void test_racing_swap(void **state)
{
	(void)state;
	struct world w;
	world_open(&w);
	make_context(&w, "d dir\nf dir/f = inside\nf dir/g = inside");
	AUTO_FREE char *outside = mem_printf("%s/outside", w.dir);
	AUTO_FREE char *link = mem_printf("%s/link", w.context);
	OK(dir_make_all(AT_FDCWD, outside, 0755));
	AUTO_FD int fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_files(fd, "f f = LEAK\nf g = LEAK");
	assert_int_equal(symlink(outside, link), 0);
	struct race r = {.w = &w};
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, swap, &r), 0);
	struct file_action a = copy_all;
	a.sources = LIST("dir");
	a.follow_links = true;
	struct op_file op = {.actions = &a, .action_count = 1};
	int copied = 0;
	for (int i = 0; i < 300; i++) {
		struct snapshot out = {0};
		world_executor(&w);
		struct err *e = run_file(&w, &op, NULL, NULL, &out);
		if (!e) {
			AUTO_FREE char *got = list_top(&w, &out);
			if (strstr(got, "LEAK"))
				fail_msg("left the context: %s", got);
			copied++;
		}
		err_free(e);
		snapshot_fini(&out);
	}
	r.stop = true;
	pthread_join(t, NULL);
	assert_true(copied > 0);
	world_close(&w);
}

/* ---- commits ---- */

static void test_commit_equals_work_tree(void **state)
{
	(void)state;
	struct world w;
	struct digest work, commit, sub_work, sub_commit;
	world_open(&w);
	make_context(&w, "f a 600 = x\nf run 775 = y\nd d 700\nf d/b 664 = z\nl l a\nl out "
			 "../../etc/passwd\nd d/deep\nf d/deep/f");
	in_context(&w, "git init -q -b main .; git config user.email a@b; git config user.name n; git add "
		       "-A; git commit -qm 1");
	AUTO_BUF struct buf id = {0};
	struct process_request rq = {.argv = LIST("git", "rev-parse", "HEAD"), .dir = w.context};
	OK(process_run(&rq, &id, NULL));
	id.ptr[40] = '\0';
	w.local.git_modes = true;
	digest_with(&w, &copy_all, LIST(".git"), &work);
	AUTO_FREE char *git_dir = mem_printf("%s/.git", w.context);
	struct local_source of_commit = {.name = "context", .git_dir = git_dir, .commit = buf_cstr(&id)};
	w.local = of_commit;
	digest_with(&w, &copy_all, LIST(".git"), &commit);
	assert_same(&work, &commit, true, "the commit");
	AUTO_BUF struct buf text = {0};
	bool found;
	OK(local_source_read(&w.local, "l", 100, &text, &found));
	assert_true(found);
	assert_string_equal(buf_cstr(&text), "x");
	OK(local_source_read(&w.local, "out", 100, &text, &found));
	assert_false(found);
	OK(local_source_read(&w.local, "none", 100, &text, &found));
	assert_false(found);

	AUTO_FREE char *sub = mem_printf("%s/d", w.context);
	w.local = (struct local_source){.name = "context", .dir = sub, .git_modes = true};
	digest_with(&w, &copy_all, NULL, &sub_work);
	of_commit.subdir = "d";
	w.local = of_commit;
	digest_with(&w, &copy_all, NULL, &sub_commit);
	assert_same(&sub_work, &sub_commit, true, "a directory of the commit");
	in_context(&w, "echo changed > a");
	w.local.subdir = NULL;
	digest_with(&w, &copy_all, LIST(".git"), &commit);
	assert_same(&work, &commit, true, "the commit after the work tree changed");

	struct op_file op = {.actions = &copy_all, .action_count = 1};
	struct snapshot out = {0};
	OK(run_file(&w, &op, NULL, NULL, &out));
	AUTO_FREE char *got = list_top(&w, &out);
	assert_string_equal(got,
		"f 644 0:0 a = x\nd 755 0:0 d\nf 644 0:0 d/b = z\nd 755 0:0 d/deep\nf 644 0:0 d/deep/f\n"
		"l 0 0:0 l -> a\nl 0 0:0 out -> ../../etc/passwd\nf 755 0:0 run = y");
	snapshot_fini(&out);
	w.local.subdir = "none";
	world_executor(&w);
	fails(run_file(&w, &op, NULL, NULL, &out), ERR_NOT_FOUND, "no directory \"none\"");
	world_close(&w);
}

static void test_read_from_dir(void **state)
{
	(void)state;
	struct world w;
	AUTO_BUF struct buf b = {0};
	bool found;
	world_open(&w);
	make_context(&w, "f Dockerfile = FROM x\nd sub\nl sub/D ../Dockerfile\nl out /etc/passwd\nl up "
			 "../../../../../../etc/passwd\np pipe");
	OK(local_source_read(&w.local, "sub/D", 100, &b, &found));
	assert_true(found);
	assert_string_equal(buf_cstr(&b), "FROM x");
	OK(local_source_read(&w.local, "out", 100, &b, &found));
	assert_false(found);
	OK(local_source_read(&w.local, "up", 100, &b, &found));
	assert_false(found);
	OK(local_source_read(&w.local, "Dockerfile/x", 100, &b, &found));
	assert_false(found);
	fails(local_source_read(&w.local, "Dockerfile", 3, &b, &found), ERR_INVALID, "larger than 3");
	fails(local_source_read(&w.local, "pipe", 100, &b, &found), ERR_INVALID, "not a regular file");
	fails(local_source_read(&w.local, "sub", 100, &b, &found), ERR_INVALID, "not a regular file");
	world_close(&w);
}

static void test_fetch(void **state)
{
	(void)state;
	struct world w;
	AUTO(source_pin_fini) struct source_pin pin = {0};
	struct snapshot one = {0}, two = {0};
	world_open(&w);
	make_context(&w, "f a = x\nd skip\nf skip/b");
	struct node *n = context_node(&w, LIST("skip"));
	OK(w.ex->ops->pin(w.ex, n, &w.io, &pin));
	OK(w.ex->ops->fetch(w.ex, n, &pin, &w.io, &one));
	world_executor(&w);
	OK(w.ex->ops->fetch(w.ex, n, &pin, &w.io, &two));
	assert_string_equal(one.layers.ptr[0], two.layers.ptr[0]);
	AUTO_FREE char *got = list_top(&w, &one);
	assert_string_equal(got, "f 644 0:0 a = x");
	snapshot_fini(&one);
	snapshot_fini(&two);
	world_close(&w);
}

int main(void)
{
	if (!world_enter())
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_settled_index),
		cmocka_unit_test(test_racy_not_kept),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_hidden_source),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_racing_swap),
		cmocka_unit_test(test_commit_equals_work_tree),
		cmocka_unit_test(test_read_from_dir),
		cmocka_unit_test(test_fetch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
