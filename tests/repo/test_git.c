/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "git_fixture.h"

#include "base/clock.h"

#include <unistd.h>

/* A repository "r" with one container, and a bare "origin" that has its first commit. */
static void make_repo(void)
{
	sh("git init -q --bare origin.git; git init -q r; cd r; mkdir -p containers/web/assets "
	   "containers/helper;"
	   "printf 'ARG CONTAINER_APP_VERSION=1.2.3\\nFROM scratch\\n' > containers/web/Dockerfile; echo x > "
	   "containers/helper/x.sh;"
	   "echo hi > containers/web/assets/a; ln -s Dockerfile containers/web/link; echo '*.log' > "
	   ".gitignore;"
	   "git add .; git commit -qm 'first commit'; git remote add origin ../origin.git; git push -q -u "
	   "origin main");
}

static void test_open(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r/containers/web");
	AUTO_FREE char *root = path_join(tmp, "r");
	assert_string_equal(repo_root(r), root);
	AUTO_FREE char *git = path_join(tmp, "r/.git");
	assert_string_equal(repo_git_dir(r), git);
	struct repo *none = NULL;
	sh("mkdir plain");
	AUTO_FREE char *plain = path_join(tmp, "plain");
	expect(repo_open(plain, &none), ERR_NOT_FOUND, "no git repository at or above");
	AUTO_FREE char *bare = path_join(tmp, "origin.git");
	expect(repo_open(bare, &none), ERR_UNSUPPORTED, "bare repository");
}

static void test_worktree_and_extensions(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; git branch side; git worktree add -q ../wt side; git config core.repositoryformatversion 1;"
	   "git config extensions.worktreeConfig true; git config extensions.partialClone origin");
	AUTO(repo_freep) struct repo *r = open_at("wt/containers");
	AUTO_FREE char *root = path_join(tmp, "wt");
	assert_string_equal(repo_root(r), root);
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, "HEAD", &c));
	assert_string_equal(c.subject, "first commit");
	AUTO(provenance_query_fini) struct provenance_query q = {.hex = c.id};
	assert_null(repo_provenance_many(r, &q, 1));
	assert_int_equal(q.provenance, PROVENANCE_MAIN);
}

static void test_other_owner(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_repo();
	sh("chown -R 12345:12345 r");
	AUTO_FREE char *path = path_join(tmp, "r");
	struct repo *r = NULL;
	expect(repo_open(path, &r), ERR_DENIED, "git config --global --add safe.directory");
	sh("git config --global --add safe.directory %s/r", tmp);
	AUTO(repo_freep) struct repo *ok = open_at("r");
	sh("git config --global --replace-all safe.directory /elsewhere");
	AUTO_FREE char *below = path_join(path, "containers");
	expect(repo_open(below, &r), ERR_DENIED, path);
	sh("git config --global --replace-all safe.directory '*'");
	AUTO(repo_freep) struct repo *all = open_at("r");
	sh("git config --global --unset-all safe.directory");
}

static void test_resolve(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *first = output("git -C r rev-parse HEAD");
	sh("cd r; git tag -a -m x annotated; git tag light; git checkout -qb feature; git commit -q "
	   "--allow-empty -m 'second one';"
	   "git checkout -q main");
	AUTO(repo_freep) struct repo *r = open_at("r");
	static const char *const same[] = {
		"HEAD", "main", "annotated", "light", "origin/main", "feature~1", "refs/heads/main"};
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		AUTO(commit_fini) struct commit c = {0};
		assert_null(repo_resolve(r, same[i], &c));
		assert_string_equal(c.id, first);
		assert_int_equal(strlen(c.short_id), 7);
		assert_memory_equal(c.short_id, first, 7);
		assert_int_equal(c.time, INT64_C(1767323045) * CLOCK_SECOND);
	}
	first[10] = 0;
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, first, &c));
	expect(repo_resolve(r, "featur", &c), ERR_NOT_FOUND, "did you mean \"feature\"?");
	expect(repo_resolve(r, "0123456", &c), ERR_NOT_FOUND, "git fetch");
	expect(repo_resolve(r, "HEAD:containers", &c), ERR_INVALID, "is not a commit");
	expect(repo_resolve(r, "", &c), ERR_INVALID, "empty");
	expect(repo_resolve(r, "a..b~^", &c), ERR_INVALID, "a..b~^");
	sh("git init -q empty");
	AUTO(repo_freep) struct repo *empty = open_at("empty");
	expect(repo_resolve(empty, "HEAD", &c), ERR_NOT_FOUND, "has no commit yet");
}

static void test_dirty(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	bool dirty = true;
	AUTO_STRVEC struct strvec changed = {0};
	assert_null(repo_dirty(r, "", &dirty, &changed));
	assert_false(dirty);
	sh("cd r/containers; mkdir web-two; echo x > web-two/new; echo x > web/ignored.log");
	assert_null(repo_dirty(r, "containers/web", &dirty, &changed));
	assert_false(dirty);
	assert_null(repo_dirty(r, "", &dirty, &changed));
	assert_true(dirty);
	assert_int_equal(changed.len, 1);
	assert_string_equal(changed.ptr[0], "containers/web-two/new");
	sh("cd r/containers; chmod +x web/Dockerfile");
	assert_null(repo_dirty(r, "containers/web", &dirty, NULL));
	assert_true(dirty);
	sh("cd r/containers; chmod -x web/Dockerfile; git rm -q --cached web/assets/a");
	assert_null(repo_dirty(r, "containers/web", &dirty, NULL));
	assert_true(dirty);
	sh("cd r; git reset -q --hard; for i in 1 2 3 4 5 6 7 8; do echo x > containers/web/n$i; done");
	strvec_clear(&changed);
	assert_null(repo_dirty(r, "containers/web", &dirty, &changed));
	assert_true(dirty);
	assert_int_equal(changed.len, 5);
	expect(repo_dirty(r, "../x", &dirty, NULL), ERR_INVALID, "not a plain path");
}

static void test_pushed(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; git commit -q --allow-empty -m two");
	AUTO(repo_freep) struct repo *r = open_at("r");
	bool pushed = false, remote = false;
	AUTO(commit_fini) struct commit first = {0}, second = {0};
	assert_null(repo_resolve(r, "HEAD~1", &first));
	assert_null(repo_resolve(r, "HEAD", &second));
	assert_null(repo_is_pushed(r, &first, &pushed, &remote));
	assert_true(pushed && remote);
	assert_null(repo_is_pushed(r, &second, &pushed, &remote));
	assert_true(!pushed && remote);
	sh("cd r; git push -q origin HEAD:refs/heads/topic");
	assert_null(repo_is_pushed(r, &second, &pushed, &remote));
	assert_true(pushed);
	sh("cd r; git remote remove origin");
	AUTO(repo_freep) struct repo *again = open_at("r");
	assert_null(repo_is_pushed(again, &second, &pushed, &remote));
	assert_true(pushed && !remote);
}

static void test_read(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; echo changed > containers/web/assets/a; rm containers/web/Dockerfile");
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, "HEAD", &c));
	AUTO_BUF struct buf b = {0};
	bool found = false;
	assert_null(repo_read_at(r, &c, "containers/web/assets/a", 100, &b, &found));
	assert_true(found);
	assert_string_equal(buf_cstr(&b), "hi\n");
	buf_clear(&b);
	assert_null(repo_read_at(r, NULL, "containers/web/assets/a", 100, &b, &found));
	assert_string_equal(buf_cstr(&b), "changed\n");
	assert_null(repo_read_at(r, &c, "containers/web/nothing", 100, &b, &found));
	assert_false(found);
	assert_null(repo_read_at(r, NULL, "containers/web/Dockerfile", 100, &b, &found));
	assert_false(found);
	assert_null(repo_read_at(r, &c, "containers/web/Dockerfile", 100, &b, &found));
	assert_true(found);
	expect(repo_read_at(r, &c, "containers/web/Dockerfile", 10, &b, &found), ERR_INVALID,
		"more than the 10");
	expect(repo_read_at(r, &c, "containers/web/link", 100, &b, &found), ERR_INVALID, "is a link");
	expect(repo_read_at(r, NULL, "containers/web/link", 100, &b, &found), ERR_INVALID, "is a link");
	expect(repo_read_at(r, &c, "containers", 100, &b, &found), ERR_INVALID, "is a directory");
	expect(repo_read_at(r, &c, "../r/x", 100, &b, &found), ERR_INVALID, "not a plain path");
	expect(repo_read_at(r, NULL, "/etc/passwd", 100, &b, &found), ERR_INVALID, "not a plain path");
	AUTO_STRVEC struct strvec names = {0};
	assert_null(repo_list_at(r, &c, "containers/web", &names));
	assert_int_equal(names.len, 3);
	assert_string_equal(names.ptr[0], "Dockerfile");
	assert_string_equal(names.ptr[1], "assets/");
	assert_null(repo_list_at(r, &c, "no/such", &names));
	assert_null(repo_list_at(r, NULL, "no/such", &names));
	assert_int_equal(names.len, 3);
	strvec_clear(&names);
	assert_null(repo_list_at(r, &c, "", &names));
	assert_true(strvec_has(&names, "containers/"));
	sh("ln -s / r/containers/out; ln -s %s/plain r/containers/away", tmp);
	strvec_clear(&names);
	assert_null(repo_list_at(r, NULL, "containers", &names));
	assert_true(strvec_has(&names, "out") && strvec_has(&names, "away"));
}

static void count_warnings(void *ctx, const struct event *e)
{
	struct buf *b = ctx;
	buf_addf(b, "%s " STR_FMT "\n", e->where.file, STR_ARG(e->text));
}

static void test_containers(void **state)
{
	(void)state;
	make_repo();
	sh("cd r/containers; mkdir a a-b Upper sub; touch a/default.nix a/Dockerfile a-b/container.py "
	   "Upper/Dockerfile flake.nix;"
	   "mkdir sub/Dockerfile; touch sub/Dockerfile/x; ln -s web linked; git add .; git commit -qm more; "
	   "mkdir late; touch late/Dockerfile");
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, "HEAD", &c));
	assert_null(repo_config_load(r, &c, &cfg));
	assert_string_equal(cfg.namespace_, "r");
	struct event_stream *events = event_stream_new();
	AUTO_BUF struct buf warnings = {0};
	event_stream_add(events, count_warnings, &warnings);
	struct vec all = VEC_OF(struct container);
	assert_null(repo_containers(r, &cfg, &c, events, &all));
	event_stream_free(events);
	AUTO_BUF struct buf got = {0};
	for (size_t i = 0; i < all.len; i++) {
		struct container *one = vec_at(&all, i);
		buf_addf(&got, "%s %s %s;", one->name, one->dir, one->kinds);
		container_fini(one);
	}
	vec_fini(&all);
	assert_string_equal(buf_cstr(&got), "a containers/a dockerfile+nix;a-b containers/a-b "
					    "container.py;web containers/web dockerfile;");
	assert_non_null(strstr(buf_cstr(&warnings), "containers/helper/ skipped: no container.py"));
	assert_non_null(strstr(buf_cstr(&warnings), "containers/Upper/ skipped: \"Upper\" cannot be"));
	assert_non_null(strstr(buf_cstr(&warnings), "containers/sub/ skipped"));
	struct container one = {0};
	expect(repo_container(r, &cfg, &c, "wbe", &one), ERR_NOT_FOUND,
		"did you mean \"web\"? There are: a (dockerfile+nix), a-b (container.py), web");
	expect(repo_container(r, &cfg, &c, "late", &one), ERR_NOT_FOUND, "commit it first");
	expect(repo_container(r, &cfg, &c, "helper", &one), ERR_NOT_FOUND, "holds no build file");
	expect(repo_container(r, &cfg, &c, "../web", &one), ERR_INVALID, "cannot be the name");
	expect(repo_container(r, &cfg, &c, "linked", &one), ERR_INVALID, "a file or a link");
	expect(repo_container(r, &cfg, NULL, "linked", &one), ERR_INVALID, "a file or a link");
	assert_null(repo_container(r, &cfg, NULL, "late", &one));
	assert_true(one.has[KIND_DOCKERFILE]);
	container_fini(&one);
}

static char *changed_since(struct repo *r, const char *ref)
{
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_resolve(r, ref, &c));
	AUTO_STRVEC struct strvec paths = {0};
	assert_null(repo_changed(r, &c, &paths));
	AUTO_BUF struct buf b = {0};
	for (size_t i = 0; i < paths.len; i++)
		buf_addf(&b, "%s%s", i ? " " : "", paths.ptr[i]);
	return buf_steal(&b);
}

static void test_changed(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO_FREE char *nothing = changed_since(r, "HEAD");
	assert_string_equal(nothing, "");
	sh("cd r; git mv containers/web/assets/a b; git commit -qm move; mkdir new; echo x > new/file; echo "
	   "x > "
	   "new/x.log; rm containers/helper/x.sh; echo more >> .gitignore; git add .gitignore; chmod +x b");
	AUTO_FREE char *all = changed_since(r, "HEAD~1");
	assert_string_equal(all, ".gitignore b containers/helper/x.sh containers/web/assets/a new/file");
	AUTO_FREE char *since = changed_since(r, "HEAD");
	assert_string_equal(since, ".gitignore b containers/helper/x.sh new/file");
	/* a file that becomes a link, a file that becomes a folder */
	sh("cd r; git reset -q --hard; rm -r new b .gitignore; ln -s x b; mkdir .gitignore; echo z > "
	   ".gitignore/z");
	AUTO_FREE char *types = changed_since(r, "HEAD");
	assert_string_equal(types, ".gitignore .gitignore/z b");
}

static void test_remote_of_main(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	char *url = NULL;
	assert_null(repo_remote_url(r, &url));
	assert_null(url); /* a path of this machine */
	sh("cd r; git remote set-url origin https://me:secret@forge.example/fork/lab.git; git remote add "
	   "upstream git@forge.example:team/lab.git");
	AUTO(repo_freep) struct repo *two = open_at("r");
	assert_null(repo_remote_url(two, &url));
	assert_string_equal(url, "https://forge.example/fork/lab");
	mem_freep(&url);
	sh("cd r; git update-ref refs/remotes/upstream/main HEAD");
	assert_null(repo_remote_url(two, &url));
	assert_string_equal(url, "https://forge.example/team/lab");
	mem_freep(&url);
	sh("cd r; git remote remove origin; git remote remove upstream");
	AUTO(repo_freep) struct repo *none = open_at("r");
	assert_null(repo_remote_url(none, &url));
	assert_null(url);
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)

static void test_history(void **state)
{
	(void)state;
	make_repo();
	sh("cd r; git checkout -qb side; echo s > s; git add s; git commit -qm side; git checkout -q main;"
	   "echo m > m; git add m; git commit -qm main2; git checkout -q --orphan alone; git commit -qm "
	   "alone;"
	   "git checkout -q main");
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO(commit_fini)
	struct commit main = {0}, side = {0}, alone = {0}, base = {0}, parent = {0}, none = {0};
	char a[41], b[41];
	bool found = false;
	assert_null(repo_resolve(r, "main", &main));
	assert_null(repo_resolve(r, "side", &side));
	assert_null(repo_resolve(r, "alone", &alone));
	assert_null(repo_merge_base(r, &main, &side, &base, &found));
	assert_true(found);
	assert_string_equal(base.subject, "first commit");
	assert_null(repo_parent(r, &main, &parent, &found));
	assert_true(found);
	assert_string_equal(parent.id, base.id);
	assert_null(repo_parent(r, &base, &none, &found));
	assert_false(found);
	assert_null(repo_merge_base(r, &main, &alone, &none, &found));
	assert_false(found);
	assert_null(repo_object_at(r, &main, "containers/web", a));
	assert_null(repo_object_at(r, &side, "containers/web", b));
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 40);
	assert_null(repo_object_at(r, &side, "m", b));
	assert_string_equal(b, "");
	expect(repo_object_at(r, &side, "../m", b), ERR_INVALID, "not a plain path");
}

static void test_work_tree_commit(void **state)
{
	(void)state;
	make_repo();
	AUTO(repo_freep) struct repo *r = open_at("r");
	AUTO(commit_fini) struct commit head = {0}, clean = {0}, dirty = {0}, again = {0}, parent = {0};
	AUTO_BUF struct buf text = {0};
	bool found = false;
	assert_null(repo_resolve(r, "HEAD", &head));
	assert_null(repo_commit_of_work_tree(r, &clean));
	assert_string_equal(clean.id, head.id);
	sh("cd r; echo new > containers/web/assets/b; rm containers/web/assets/a; echo no > x.log; git add "
	   "containers/web/assets/b; git status --porcelain > ../before");
	assert_null(repo_commit_of_work_tree(r, &dirty));
	assert_null(repo_parent(r, &dirty, &parent, &found));
	assert_string_equal(parent.id, head.id);
	assert_null(repo_read_at(r, &dirty, "containers/web/assets/b", 100, &text, &found));
	assert_true(found);
	assert_string_equal(buf_cstr(&text), "new\n");
	assert_null(repo_read_at(r, &dirty, "containers/web/assets/a", 100, &text, &found));
	assert_false(found);
	assert_null(repo_read_at(r, &dirty, "x.log", 100, &text, &found));
	assert_false(found);
	/* equal work trees, equal commits; nothing of the repository moved */
	assert_null(repo_commit_of_work_tree(r, &again));
	assert_string_equal(again.id, dirty.id);
	sh("cd r; git status --porcelain | diff - ../before; test $(git rev-parse HEAD) = %s", head.id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_open),
		GIT_TEST(test_worktree_and_extensions),
		GIT_TEST(test_other_owner),
		GIT_TEST(test_resolve),
		GIT_TEST(test_dirty),
		GIT_TEST(test_pushed),
		GIT_TEST(test_read),
		GIT_TEST(test_containers),
		GIT_TEST(test_changed),
		GIT_TEST(test_remote_of_main),
		GIT_TEST(test_history),
		GIT_TEST(test_work_tree_commit),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
