/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "git_fixture.h"

#include "base/clock.h"
#include "base/map.h"

#include <openssl/sha.h>
#include <stdio.h>

/* A repository "r" and a bare "origin" that has its first commit. */
static void make_repo(void)
{
	sh("git init -q --bare origin.git; git init -q r; cd r; echo '*.log' > .gitignore; git add .; git "
	   "commit "
	   "-qm 'first commit'; git remote add origin ../origin.git; git push -q -u origin main");
}

static void same_answer(const struct provenance_query *a, const struct provenance_query *b)
{
	assert_int_equal(a->provenance, b->provenance);
	assert_string_equal(a->reason ? a->reason : "", b->reason ? b->reason : "");
	assert_string_equal(a->commit.id, b->commit.id);
}

#define OTHERS 300

/* Asked alone, asked among many, and asked twice at once: the answer is the same. */
static void ask(struct repo *r, const char *hex, struct provenance_query *out)
{
	struct provenance_query many[OTHERS + 2] = {{.hex = hex}};
	char texts[OTHERS][41];
	*out = (struct provenance_query){.hex = hex};
	assert_null(repo_provenance_many(r, out, 1));
	for (size_t i = 0; i < OTHERS; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%07zx%.33s", i * 7919,
			i % 2 ? "" : "0123456789abcdef0123456789abcdef0");
		many[i + 1].hex = texts[i];
	}
	many[OTHERS + 1].hex = hex;
	assert_null(repo_provenance_many(r, many, OTHERS + 2));
	same_answer(out, &many[0]);
	same_answer(out, &many[OTHERS + 1]);
	for (size_t i = 0; i < OTHERS + 2; i++)
		provenance_query_fini(&many[i]);
}

static enum provenance provenance(const char *dir, const char *hex, const char *reason_part)
{
	AUTO(repo_freep) struct repo *r = open_at(dir);
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	assert_null(repo_config_load(r, NULL, &cfg));
	AUTO(provenance_query_fini) struct provenance_query q = {0};
	ask(r, hex, &q);
	if (!strstr(q.reason ? q.reason : "", reason_part))
		fail_msg("reason \"%s\" without \"%s\"", q.reason, reason_part);
	assert_int_equal(q.provenance == PROVENANCE_UNKNOWN, q.reason != NULL);
	assert_int_equal(q.provenance == PROVENANCE_UNKNOWN, q.commit.subject == NULL);
	return q.provenance;
}

static void test_provenance(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; for i in 2 3 4 5 6 7; do git commit -q --allow-empty -m $i; done; git checkout -qb "
	   "squashed; git commit -q --allow-empty -m on-branch;"
	   "git checkout -q -b merged main; git commit -q --allow-empty -m to-merge; git checkout -q main;"
	   "git merge -q --no-ff -m merge merged; git push -q origin main");
	AUTO_FREE char *first = output("git -C r rev-parse --short=7 main~5");
	AUTO_FREE char *on_branch = output("git -C r rev-parse --short=7 squashed");
	AUTO_FREE char *merged = output("git -C r rev-parse merged");
	AUTO_FREE char *blob = output("git -C r rev-parse --short=7 HEAD:.gitignore");
	assert_int_equal(provenance("r", first, ""), PROVENANCE_MAIN);
	assert_int_equal(provenance("r", merged, ""), PROVENANCE_MAIN);
	assert_int_equal(provenance("r", on_branch, ""), PROVENANCE_BRANCH);
	assert_int_equal(provenance("r", blob, "no commit"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("r", "0123456", "no commit 0123456 here"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("r", "abc", "no commit id"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("r", "main", "no commit id"), PROVENANCE_UNKNOWN);
	/* names that look like the commit count for nothing */
	sh("cd r; git tag %s main~3; git branch -q %s main", on_branch, on_branch);
	assert_int_equal(provenance("r", on_branch, ""), PROVENANCE_BRANCH);
	sh("cd r; git tag -d %s; git branch -qD %s squashed; git reflog expire --expire=now --all; git gc -q "
	   "--prune=now",
		on_branch, on_branch);
	assert_int_equal(provenance("r", on_branch, "its branch is gone"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("r", first, ""), PROVENANCE_MAIN);
	/* a local main that is ahead does not count while there is a remote one */
	sh("cd r; git commit -q --allow-empty -m ahead");
	AUTO_FREE char *ahead = output("git -C r rev-parse HEAD");
	assert_int_equal(provenance("r", ahead, ""), PROVENANCE_BRANCH);
	sh("cd r; echo 'main: main' > cooper.yaml");
	assert_int_equal(provenance("r", ahead, ""), PROVENANCE_MAIN);
}

static void test_provenance_shallow(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; for i in 2 3 4 5; do git commit -q --allow-empty -m $i; done; git push -q origin main; git "
	   "branch side main~2;"
	   "git checkout -q side; git commit -q --allow-empty -m s; git push -q origin side; cd ..;"
	   "git clone -q --depth 2 --no-single-branch file://$PWD/origin.git shallow");
	AUTO_FREE char *old = output("git -C r rev-parse --short=7 main~3");
	AUTO_FREE char *tip = output("git -C r rev-parse --short=7 main");
	AUTO_FREE char *near = output("git -C r rev-parse --short=7 main~1");
	AUTO_FREE char *side = output("git -C r rev-parse side");
	assert_int_equal(provenance("shallow", tip, ""), PROVENANCE_MAIN);
	assert_int_equal(provenance("shallow", near, ""), PROVENANCE_MAIN);
	assert_int_equal(provenance("shallow", old, "git fetch --unshallow"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("shallow", side, "git fetch --unshallow"), PROVENANCE_UNKNOWN);
	AUTO(repo_freep) struct repo *r = open_at("shallow");
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, "HEAD", &c));
	bool pushed = false, remote = false;
	assert_null(repo_is_pushed(r, &c, &pushed, &remote));
	assert_true(pushed && remote);
	sh("cd shallow; git worktree add -q ../wts origin/side");
	assert_int_equal(provenance("wts", side, "git fetch --unshallow"), PROVENANCE_UNKNOWN);
}

static void test_main_ref(void **state)
{
	(void)state;
	sh("git init -q -b trunk r; cd r; git commit -q --allow-empty -m x");
	AUTO_FREE char *id = output("git -C r rev-parse HEAD");
	assert_int_equal(provenance("r", id, "tried upstream/main, origin/main, main, upstream/master"),
		PROVENANCE_UNKNOWN);
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO_FREE char *name = NULL;
	expect(repo_main_required(r, &name, NULL), ERR_NOT_FOUND,
		"tried upstream/main, origin/main, main, upstream/master, origin/master, master");
	assert_null(name);
	static const char *const rising[] = {"refs/heads/master", "refs/remotes/upstream/master",
		"refs/heads/main", "refs/remotes/origin/main", "refs/remotes/upstream/main"};
	for (size_t i = 0; i < ARRAY_LEN(rising); i++) {
		sh("cd r; git update-ref %s HEAD", rising[i]);
		mem_freep(&name);
		AUTO(commit_fini) struct commit c = {0};
		assert_null(repo_main(r, &name, &c));
		assert_true(cstr_ends(rising[i], name));
		assert_string_equal(c.id, id);
	}
	sh("cd r; echo 'main: origin/production' > cooper.yaml");
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	assert_null(repo_config_load(r, NULL, &cfg));
	mem_freep(&name);
	expect(repo_main(r, &name, NULL), ERR_NOT_FOUND,
		"no branch \"origin/production\", which cooper.yaml names");
}

static void object_name(const char *type, const char *body, char out[41])
{
	AUTO_FREE char *all = mem_printf("%s %zu", type, strlen(body));
	AUTO_BUF struct buf b = {0};
	buf_add(&b, all, strlen(all) + 1);
	buf_adds(&b, body);
	unsigned char sum[20];
	SHA1((const unsigned char *)b.ptr, b.len, sum);
	for (int i = 0; i < 20; i++)
		sprintf(out + 2 * i, "%02x", sum[i]);
}

/* Two bodies whose names agree in 7 characters, the first made from fmt a and the second from fmt b. */
static void collide(char *(*make_a)(int), const char *type_a, char *(*make_b)(int), const char *type_b,
	char **a, char **b)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	for (int i = 0; i < 1000000; i++) {
		AUTO_FREE char *x = make_a(i), *y = make_b(i + 1000000);
		char hx[41], hy[41];
		object_name(type_a, x, hx);
		object_name(type_b, y, hy);
		map_set(seen, str_n(hx, 7), (void *)(intptr_t)(i + 1));
		void *hit = map_get(seen, str_n(hy, 7));
		if (hit) {
			*a = make_a((int)(intptr_t)hit - 1);
			*b = steal(&y);
			return;
		}
	}
	fail_msg("no collision found");
}

static char *commit_body(int i)
{
	return mem_printf(
		"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor t <t@example> 1767323045 +0000\n"
		"committer t <t@example> 1767323045 +0000\n\nnumber %d\n",
		i);
}

static char *blob_body(int i)
{
	return mem_printf("blob %d\n", i);
}

static char *store_object(const char *type, const char *body)
{
	AUTO_FREE char *path = path_join(tmp, "body");
	assert_null(file_replace(AT_FDCWD, path, body, strlen(body), 0644, false));
	AUTO_FREE char *command = mem_printf("git -C r hash-object -t %s -w --stdin < body", type);
	return output(command);
}

static void test_ambiguous(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; git hash-object -t tree -w /dev/null > /dev/null");
	AUTO_FREE char *a = NULL, *b = NULL;
	collide(commit_body, "commit", commit_body, "commit", &a, &b);
	AUTO_FREE char *x = store_object("commit", a), *y = store_object("commit", b);
	assert_memory_equal(x, y, 7);
	AUTO_FREE char *prefix = mem_strndup(x, 7);
	assert_int_equal(provenance("r", prefix, "2 commits begin with"), PROVENANCE_UNKNOWN);
	assert_int_equal(provenance("r", x, ""), PROVENANCE_BRANCH);
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO(commit_fini) struct commit c = {0};
	expect(repo_resolve(r, prefix, &c), ERR_INVALID, x);
	AUTO_FREE char *d = NULL, *e = NULL;
	collide(commit_body, "commit", blob_body, "blob", &d, &e);
	AUTO_FREE char *only = store_object("commit", d), *blob = store_object("blob", e);
	assert_memory_equal(only, blob, 7);
	only[7] = 0;
	assert_int_equal(provenance("r", only, ""), PROVENANCE_BRANCH);
	assert_null(repo_resolve(r, only, &c));
	assert_true(cstr_starts(c.id, only));
}

/* All commits of a tangled history, against what git says of each. */
static void test_agrees_with_git(void **state)
{
	(void)state;
	sh("git init -q r; cd r; n=0; c() { n=$((n+1)); GIT_COMMITTER_DATE=\"$((1767323045 + n %% 7 * 1000)) "
	   "+0000\" git commit -q --allow-empty -m $n; }; c;"
	   "for b in a b c d e f g h; do git checkout -q -b $b; c; c; git checkout -q main; c;"
	   "case $b in a|d|g) git merge -q --no-ff -m m$b $b;; c) git checkout -q $b; git merge -q --no-ff "
	   "-m "
	   "back main; git checkout -q main;; esac; done; git gc -q; for i in 1 2 3; do c; done; git "
	   "checkout "
	   "-q h; c; for id in $(git rev-list --all); do git merge-base --is-ancestor $id main && echo main "
	   "$id || "
	   "echo branch $id; done > ../truth");
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO_FREE char *path = path_join(tmp, "truth");
	AUTO_BUF struct buf truth = {0};
	assert_null(file_read(AT_FDCWD, path, 1 << 20, &truth));
	struct str rest = buf_str(&truth), line;
	size_t seen[2] = {0};
	while (str_split(&rest, '\n', &line) && line.len) {
		bool on_main = str_starts(line, "main ");
		struct str id = str_skip(line, on_main ? 5 : 7);
		AUTO_FREE char *full = mem_strndup(id.ptr, 40);
		AUTO_FREE char *brief = mem_strndup(id.ptr, 7);
		const char *const both[] = {full, brief};
		for (size_t i = 0; i < ARRAY_LEN(both); i++) {
			AUTO(provenance_query_fini) struct provenance_query q = {0};
			ask(r, both[i], &q);
			assert_int_equal(q.provenance, on_main ? PROVENANCE_MAIN : PROVENANCE_BRANCH);
			assert_string_equal(q.commit.id, full);
		}
		seen[on_main]++;
	}
	assert_true(seen[0] >= 10 && seen[1] >= 20);
}

static void test_none(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	assert_null(repo_provenance_many(r, NULL, 0));
	struct provenance_query bad[2] = {{.hex = ""}, {.hex = "ABCDEF0"}};
	assert_null(repo_provenance_many(r, bad, 2));
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(strstr(bad[i].reason, "is no commit id"));
		provenance_query_fini(&bad[i]);
	}
}

static void test_broken_history(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; for i in 2 3 4; do git commit -q --allow-empty -m $i; done; git push -q origin main");
	AUTO_FREE char *first = output("git -C r rev-parse main~3");
	AUTO_FREE char *gone = output("git -C r rev-parse main~1");
	sh("cd r; rm -f .git/objects/%.2s/%s", gone, gone + 2);
	AUTO(repo_freep) struct repo *r = open_at("r");
	struct provenance_query q[2] = {{.hex = first}, {.hex = "main"}};
	expect(repo_provenance_many(r, q, 2), ERR_NOT_FOUND, "walking the history of origin/main");
	assert_null(q[1].reason);
}

static void test_fetched(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	int64_t when = 0;
	sh("cd r; touch -d @1700000000 .git/logs/refs/remotes/origin/main .git/refs/remotes/origin/main");
	assert_null(repo_main_fetched(r, &when));
	assert_int_equal(when, INT64_C(1700000000) * CLOCK_SECOND);
	sh("cd r; git fetch -q; touch -d @1700000500 .git/FETCH_HEAD");
	assert_null(repo_main_fetched(r, &when));
	assert_int_equal(when, INT64_C(1700000500) * CLOCK_SECOND);
	sh("cd r; git worktree add -q ../wt; touch -d @1700000900 .git/worktrees/wt/FETCH_HEAD");
	AUTO(repo_freep) struct repo *wt = open_at("wt");
	assert_null(repo_main_fetched(wt, &when));
	assert_int_equal(when, INT64_C(1700000900) * CLOCK_SECOND);
	sh("git init -q alone; cd alone; git commit -q --allow-empty -m x; touch .git/FETCH_HEAD");
	AUTO(repo_freep) struct repo *alone = open_at("alone");
	assert_null(repo_main_fetched(alone, &when));
	assert_int_equal(when, 0);
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_provenance),
		GIT_TEST(test_provenance_shallow),
		GIT_TEST(test_main_ref),
		GIT_TEST(test_ambiguous),
		GIT_TEST(test_agrees_with_git),
		GIT_TEST(test_none),
		GIT_TEST(test_broken_history),
		GIT_TEST(test_fetched),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
