/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_fixture.h"

#include "oci/images.h"
#include "sys/file.h"
#include "sys/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void sh(const char *dir, const char *script)
{
	struct process_request rq = {.argv = LIST("sh", "-ec", script), .dir = dir};
	OK(process_run(&rq, NULL, NULL));
}

static struct node *source_node(struct world *w, const struct op *op)
{
	struct node_label label = {.name = "source"};
	struct node *n = NULL;
	OK(graph_node(w->graph, op, NULL, 0, &label, &n));
	return n;
}

static struct err *fetch(struct world *w, const struct op *op, struct source_pin *pin, char **listing)
{
	struct node *n = source_node(w, op);
	struct snapshot s = {0};
	TRY(w->ex->ops->pin(w->ex, n, &w->io, pin));
	struct err *e = w->ex->ops->fetch(w->ex, n, pin, &w->io, &s);
	if (!e)
		*listing = list_top(w, &s);
	snapshot_fini(&s);
	return e;
}

/* ---- git ---- */

static const char make_repo[] =
	"git init -q -b main repo; cd repo; git config user.email a@b; git config user.name n; "
	"export GIT_AUTHOR_DATE='@1500000000 +0000' GIT_COMMITTER_DATE='@1500000000 +0000'; "
	"printf one > f; printf run > x; chmod 755 x; mkdir d; printf sub > d/s; ln -s f l; git add -A; git "
	"commit -qm 1; "
	"git tag -a -m t v1; printf two > f; git commit -qam 2; git branch other; git tag both; git branch "
	"both; "
	"printf three > f; git commit -qam 3; "
	"printf 'tagged' > f; git commit -qam 4; git tag -f both >/dev/null; git reset -q --hard HEAD~1";

static const struct {
	const char *ref, *subdir, *expect, *message;
	enum err_kind error;
} refs[] = {
	{NULL, NULL, "f 644 0:0 f = three @1500000000"},
	{"main", NULL, "f 644 0:0 f = three @1500000000"},
	{"refs/heads/other", NULL, "f 644 0:0 f = two @1500000000"},
	{"other", NULL, "f 644 0:0 f = two @1500000000"},
	{"v1", NULL, "f 644 0:0 f = one @1500000000"},
	{"refs/tags/v1", NULL, "f 644 0:0 f = one @1500000000"},
	{"both", NULL, "f 644 0:0 f = two @1500000000"}, /* the branch */
	{"main", "d", "f 644 0:0 s = sub @1500000000"},
	{"nowhere", NULL, NULL, "no branch, tag or commit \"nowhere\"", ERR_NOT_FOUND},
	{"main", "none", NULL, "no directory \"none\"", ERR_NOT_FOUND},
	{"main", "f", NULL, "is not a directory", ERR_INVALID},
	{"--upload-pack=touch /tmp/pwned", NULL, NULL, "no branch, tag or commit", ERR_NOT_FOUND},
};

static void test_git_refs(void **state)
{
	(void)state;
	struct world w;
	world_open(&w);
	sh(w.dir, make_repo);
	AUTO_FREE char *url = mem_printf("file://%s/repo", w.dir);
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		struct op op = {
			.kind = OP_GIT, .git = {.url = url, .ref = refs[i].ref, .subdir = refs[i].subdir}};
		AUTO(source_pin_fini) struct source_pin pin = {0};
		AUTO_FREE char *got = NULL;
		struct err *e = fetch(&w, &op, &pin, &got);
		if (refs[i].error) {
			fails(e, refs[i].error, refs[i].message);
			continue;
		}
		OK(e);
		if (!strstr(got, refs[i].expect))
			fail_msg("%s: \"%s\" lacks \"%s\"", refs[i].ref, got, refs[i].expect);
	}
	world_close(&w);
}

static void test_git_commit(void **state)
{
	(void)state;
	struct world w;
	AUTO_BUF struct buf id = {0};
	AUTO(source_pin_fini) struct source_pin pin = {0};
	AUTO(source_pin_fini) struct source_pin branch = {0};
	AUTO_FREE char *got = NULL;
	AUTO_FREE char *kept = NULL;
	world_open(&w);
	sh(w.dir, make_repo);
	AUTO_FREE char *repo = mem_printf("%s/repo", w.dir);
	struct process_request rq = {.argv = LIST("git", "rev-parse", "HEAD~1"), .dir = repo};
	OK(process_run(&rq, &id, NULL));
	id.ptr[40] = '\0';
	struct op op = {.kind = OP_GIT, .git = {.url = repo, .ref = id.ptr, .checksum = "0123456"}};
	fails(fetch(&w, &op, &pin, &got), ERR_CORRUPT, "not 0123456");
	op.git.checksum = NULL;
	OK(fetch(&w, &op, &pin, &got));
	assert_string_equal(got,
		"d 755 0:0 d @1500000000\nf 644 0:0 d/s = sub @1500000000\nf 644 0:0 f = two @1500000000\n"
		"l 0 0:0 l -> f @1500000000\nf 755 0:0 x = run @1500000000");
	AUTO_FREE char *want = mem_printf("%s#%s", repo, id.ptr);
	assert_string_equal(pin.text, want);
	op.git.ref = "other";
	OK(w.ex->ops->pin(w.ex, source_node(&w, &op), &w.io, &branch));
	assert_true(digest_eq(&pin.digest, &branch.digest));
	/* With a short id, and with its .git. */
	id.ptr[10] = '\0';
	op.git.ref = id.ptr;
	op.git.keep_git_dir = true;
	source_pin_fini(&pin);
	OK(fetch(&w, &op, &pin, &kept));
	assert_non_null(strstr(kept, " .git/HEAD"));
	assert_null(strstr(kept, ".git/logs"));
	assert_null(strstr(kept, " @179"));
	op.git.url = "ext::sh -c touch% /tmp/pwned";
	fails(fetch(&w, &op, &branch, &got), ERR_INVALID, "not the URL");
	op.git.url = "/no/such/repo";
	op.git.ref = "main";
	fails(fetch(&w, &op, &branch, &got), ERR_EXITED, "/no/such/repo");
	world_close(&w);
}

static void test_git_submodules(void **state)
{
	(void)state;
	struct world w;
	AUTO(source_pin_fini) struct source_pin pin = {0};
	AUTO(source_pin_fini) struct source_pin bare = {0};
	AUTO_FREE char *with = NULL;
	AUTO_FREE char *without = NULL;
	world_open(&w);
	sh(w.dir, make_repo);
	sh(w.dir,
		"git init -q -b main outer; cd outer; git config user.email a@b; git config user.name n; "
		"printf o > o; mkdir deep; "
		"git -c protocol.file.allow=always submodule --quiet add -b other ../repo deep/sub "
		">/dev/null 2>&1 || "
		"git -c protocol.file.allow=always submodule --quiet add -b other \"$PWD/../repo\" deep/sub; "
		"git config -f .gitmodules submodule.deep/sub.url ../repo; git add -A; git commit -qm 1");
	AUTO_FREE char *url = mem_printf("%s/outer", w.dir);
	struct op op = {.kind = OP_GIT, .git = {.url = url, .ref = "main"}};
	OK(fetch(&w, &op, &pin, &with));
	if (!strstr(with, "f 644 0:0 deep/sub/f = two"))
		fail_msg("%s", with);
	op.git.no_submodules = true;
	OK(fetch(&w, &op, &bare, &without));
	assert_null(strstr(without, "deep/sub/f"));
	assert_non_null(strstr(without, "d 755 0:0 deep/sub"));
	assert_false(digest_eq(&pin.digest, &bare.digest));
	world_close(&w);
}

/* ---- http ---- */

static const char server_script[] =
	"import http.server, os, signal\n"
	"signal.alarm(60)\n" /* does not outlive a test that failed */
	"class H(http.server.BaseHTTPRequestHandler):\n"
	"    def do_GET(self):\n"
	"        open('log', 'a').write(self.path + ' ' + str(self.headers.get('If-None-Match')) + ' ' + "
	"str(self.headers.get('Authorization')) + '\\n')\n"
	"        if self.path == '/moved':\n"
	"            self.send_response(302); self.send_header('Location', '/file'); self.end_headers(); "
	"return\n"
	"        if self.path == '/loop':\n"
	"            self.send_response(302); self.send_header('Location', '/loop'); self.end_headers(); "
	"return\n"
	"        if self.path == '/short':\n"
	"            self.send_response(200); self.send_header('Content-Length', '100'); self.end_headers(); "
	"self.wfile.write(b'abc'); return\n"
	"        if self.path != '/file':\n"
	"            self.send_response(404); self.end_headers(); return\n"
	"        body = open('body', 'rb').read()\n"
	"        tag = '\"%d-%s\"' % (len(body), body[:1].decode())\n"
	"        if self.headers.get('If-None-Match') == tag:\n"
	"            self.send_response(304); self.end_headers(); return\n"
	"        self.send_response(200); self.send_header('ETag', tag)\n"
	"        self.send_header('Last-Modified', 'Fri, 14 Jul 2017 02:40:00 GMT')\n"
	"        self.send_header('Content-Length', str(len(body))); self.end_headers(); "
	"self.wfile.write(body)\n"
	"    def log_message(self, *a): pass\n"
	"s = http.server.HTTPServer(('127.0.0.1', 0), H)\n"
	"open('port.tmp', 'w').write(str(s.server_address[1])); os.rename('port.tmp', 'port')\n"
	"s.serve_forever()\n";

static pid_t start_server(struct world *w, char url[64])
{
	AUTO_BUF struct buf port = {0};
	AUTO_FREE char *path = mem_printf("%s/port", w->dir);
	pid_t pid = fork();
	if (pid == 0) {
		if (chdir(w->dir) == 0)
			execlp("python3", "python3", "-c", server_script, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200 && access(path, F_OK) != 0; i++)
		usleep(50000);
	OK(file_read(AT_FDCWD, path, 16, &port));
	snprintf(url, 64, "http://127.0.0.1:%s", buf_cstr(&port));
	return pid;
}

static void test_http(void **state)
{
	(void)state;
	struct world w;
	char base[64];
	AUTO(source_pin_fini) struct source_pin pin = {0};
	AUTO(source_pin_fini) struct source_pin again = {0};
	AUTO(source_pin_fini) struct source_pin sum = {0};
	AUTO(source_pin_fini) struct source_pin changed = {0};
	AUTO_FREE char *got = NULL;
	AUTO_FREE char *got2 = NULL;
	AUTO_FREE char *got3 = NULL;
	AUTO_BUF struct buf log = {0};
	world_open(&w);
	sh(w.dir, "printf content > body");
	AUTO_FREE char *log_path = mem_printf("%s/log", w.dir);
	pid_t server = start_server(&w, base);
	AUTO_FREE char *moved = mem_printf("%s/moved", base);
	AUTO_FREE char *file = mem_printf("%s/file", base);
	AUTO_FREE char *none = mem_printf("%s/none", base);
	AUTO_FREE char *loop = mem_printf("%s/loop", base);
	AUTO_FREE char *cut = mem_printf("%s/short", base);
	struct op op = {.kind = OP_HTTP, .http = {.url = moved, .filename = "got.bin"}};
	OK(fetch(&w, &op, &pin, &got));
	assert_string_equal(got, "f 600 0:0 got.bin = content");
	OK(w.ex->ops->pin(w.ex, source_node(&w, &op), &w.io, &again));
	assert_true(digest_eq(&pin.digest, &again.digest));
	OK(file_read(AT_FDCWD, log_path, 10000, &log));
	assert_non_null(strstr(buf_cstr(&log), "/file \"7-c\""));

	struct op mode = {.kind = OP_HTTP,
		.http = {.url = file,
			.filename = "x",
			.mode = 0755,
			.uid = 1,
			.gid = 2,
			.checksum =
				"sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}};
	OK(fetch(&w, &mode, &sum, &got2));
	assert_string_equal(got2, "f 755 1:2 x = content");
	assert_false(digest_eq(&pin.digest, &sum.digest));
	/* Checksum known: not asked again. */
	sh(w.dir, "rm log");
	source_pin_fini(&sum);
	OK(w.ex->ops->pin(w.ex, source_node(&w, &mode), &w.io, &sum));
	assert_int_not_equal(access(log_path, F_OK), 0);

	sh(w.dir, "printf other > body");
	OK(fetch(&w, &op, &changed, &got3));
	assert_string_equal(got3, "f 600 0:0 got.bin = other");
	assert_false(digest_eq(&pin.digest, &changed.digest));

	struct source_pin unused = {0};
	AUTO_FREE char *unused_list = NULL;
	mode.http.checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
	fails(fetch(&w, &mode, &unused, &unused_list), ERR_CORRUPT, "does not have the checksum sha256:0000");
	op.http.url = none;
	fails(fetch(&w, &op, &unused, &unused_list), ERR_NOT_FOUND, "the server answered 404");
	op.http.url = loop;
	struct err *e = fetch(&w, &op, &unused, &unused_list);
	assert_non_null(e);
	err_free(e);
	op.http.url = cut;
	e = fetch(&w, &op, &unused, &unused_list);
	fails(e, ERR_UNAVAILABLE, "/short");
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	world_close(&w);
}

/* ---- images ---- */

static void test_image(void **state)
{
	(void)state;
	struct world w;
	struct vec names = VEC_OF(struct stored_image);
	AUTO(source_pin_fini) struct source_pin pin = {0};
	struct snapshot s = {0}, out = {0};
	world_open(&w);
	sh(w.dir, "mkdir root; cd root; mkdir etc; printf hi > etc/motd; tar --sort=name --mtime=@1500000000 "
		  "--owner=0 --group=0 -cf ../root.tar .");
	AUTO_FREE char *tar = mem_printf("%s/root.tar", w.dir);
	struct image_import im = {.path = tar, .name = "base:1"};
	OK(images_import(w.store, &im, &names));
	assert_int_equal(names.len, 1);
	struct platform host;
	char platform[128];
	platform_host(&host);
	platform_text(&host, platform);
	struct op op = {.kind = OP_IMAGE,
		.image = {.ref = "docker.io/library/base:1", .platform = platform, .pull = PULL_ALWAYS}};
	struct node *n = source_node(&w, &op);
	OK(w.ex->ops->pin(w.ex, n, &w.io, &pin));
	assert_non_null(strstr(pin.text, "docker.io/library/base:1@sha256:"));
	OK(w.ex->ops->fetch(w.ex, n, &pin, &w.io, &s));
	assert_int_equal(s.layers.len, 1);
	bool usable = false;
	OK(w.ex->ops->check(w.ex, &s, &usable));
	assert_true(usable);
	struct file_action a = {.kind = FILE_MKFILE, .dest = "/etc/new", .data = STR("n")};
	struct op_file f = {.actions = &a, .action_count = 1};
	OK(run_file(&w, &f, &s, NULL, &out));
	AUTO_FREE char *got = list_top(&w, &out);
	assert_string_equal(got, "d 755 0:0 etc\nf 644 0:0 etc/new = n");
	op.image.ref = "docker.io/library/other:1";
	op.image.pull = PULL_NEVER;
	source_pin_fini(&pin);
	fails(w.ex->ops->pin(w.ex, source_node(&w, &op), &w.io, &pin), ERR_NOT_FOUND, "may not be pulled");
	op.image.ref = "docker.io/library/base:1";
	op.image.platform = "linux/s390x";
	fails(w.ex->ops->pin(w.ex, source_node(&w, &op), &w.io, &pin), ERR_NOT_FOUND, "s390x");
	for (size_t i = 0; i < names.len; i++)
		stored_image_fini(vec_at(&names, i));
	vec_fini(&names);
	snapshot_fini(&s);
	snapshot_fini(&out);
	world_close(&w);
}

int main(void)
{
	if (!world_enter())
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_git_refs),
		cmocka_unit_test(test_git_commit),
		cmocka_unit_test(test_git_submodules),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
