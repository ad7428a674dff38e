/* SPDX-License-Identifier: Apache-2.0 */
/* Binds, caches, secrets, agents, what is shown for the time of the step only, and images that try to lead
 * them astray. */
#include "step_fixture.h"

#include "base/mem.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture f;
static struct snapshot context;

static const char *out(void)
{
	return buf_cstr(&f.out);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void fill_context(int root)
{
	put_file(root, "readme", "context\n", 0644);
	put_dir(root, "sub");
	put_file(root, "sub/file", "sub file\n", 0644);
	put_link(root, "escape", "/../../../../../../etc/hostname");
	put_link(root, "up", "../../../../..");
}

/* Run with base as input 0 and the context as input 1. */
static struct err *try_run(struct op *op, struct exec_mount *mounts, size_t count, struct snapshot *s)
{
	const struct snapshot *inputs[] = {&f.base, &context};
	op->exec.mounts = mounts;
	op->exec.mount_count = count;
	return fixture_run(&f, op, inputs, 2, s);
}

static void run_mounted(const char *script, struct exec_mount *mounts, size_t count, struct snapshot *s)
{
	struct op op = exec_op(SH(script));
	struct snapshot mine = {0};
	struct err *e = try_run(&op, mounts, count, s ? s : &mine);
	strvec_fini(&mine.layers);
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	fail_msg("%s\nstdout: %s\nstderr: %s", text, out(), buf_cstr(&f.err));
}

static void assert_layer(const struct snapshot *s, const char *want)
{
	AUTO_FREE char *list = top_list(&f, s);
	assert_string_equal(list, want);
}

static void test_bind(void **state)
{
	(void)state;
	struct exec_mount m[] = {
		{.kind = MOUNT_BIND, .target = "/ctx", .input = 1},
		{.kind = MOUNT_BIND, .target = "/deep/in/file", .input = 1, .source = "sub/file"},
		{.kind = MOUNT_BIND, .target = "/rw", .input = 1, .source = "sub", .writable = true},
		{.kind = MOUNT_BIND, .target = "/all", .input = 1, .writable = true},
	};
	struct snapshot s = {0};
	run_mounted("cat /ctx/readme /deep/in/file /rw/file; echo x 2>/dev/null >/ctx/new && echo bad; echo "
		    "changed >/rw/file && cat /rw/file; "
		    "rm /all/readme; ls /all; cat /ctx/readme; echo y 2>/dev/null >/deep/in/file && echo "
		    "bad; true",
		m, 4, &s);
	assert_string_equal(out(), "context\nsub file\nsub file\nchanged\nescape\nsub\nup\ncontext\n");
	assert_layer(&s, "");
	strvec_fini(&s.layers);
}

static void test_bind_escapes(void **state)
{
	(void)state;
	struct exec_mount m = {.kind = MOUNT_BIND, .target = "/x", .input = 1, .source = "escape"};
	struct op op = exec_op(SH("true"));
	struct snapshot s = {0};
	struct err *e = try_run(&op, &m, 1, &s);
	/* Inside the context there is no such file. */
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	AUTO_FREE char *text = err_text(e);
	assert_has(text, "bind mount at /x: source /escape");
	err_free(e);
	m.source = "up";
	run_mounted("ls /x", &m, 1, NULL);
	assert_string_equal(out(), "escape\nreadme\nsub\nup\n");
	m.source = "sub/file";
	m.target = "/lost";
	e = try_run(&op, &m, 1, &s);
	AUTO_FREE char *second = err_text(e);
	assert_has(second, "is a directory in this image");
	err_free(e);
}

static void test_nested(void **state)
{
	(void)state;
	struct exec_mount m[] = {
		{.kind = MOUNT_TMPFS, .target = "/src/build/tmp", .input = INPUT_NONE, .size = 1 << 20},
		{.kind = MOUNT_BIND, .target = "/src", .input = 1},
		{.kind = MOUNT_CACHE,
			.target = "/src/node_modules",
			.cache_id = "nm",
			.input = INPUT_NONE,
			.writable = true,
			.mode = 0755},
		{.kind = MOUNT_BIND, .target = "/src/sub/inner", .input = 1, .source = "readme"},
		{.kind = MOUNT_TMPFS, .target = "/src/node_modules/.t/deep", .input = INPUT_NONE},
	};
	struct snapshot s = {0};
	run_mounted("ls /src /src/sub; cat /src/sub/inner; echo c >/src/node_modules/c; echo t "
		    ">/src/build/tmp/t; "
		    "dd if=/dev/zero of=/src/build/tmp/big bs=64k count=100 2>&1 | grep -c 'No space'; touch "
		    "/src/node_modules/.t/deep/z; "
		    "touch /src/x 2>/dev/null && echo bad; true",
		m, 5, &s);
	assert_string_equal(out(), "/src:\nbuild\nescape\nnode_modules\nreadme\nsub\nup\n\n/src/"
				   "sub:\nfile\ninner\ncontext\n1\n");
	assert_layer(&s, "");
	strvec_fini(&s.layers);
	struct exec_mount rw[] = {
		{.kind = MOUNT_BIND, .target = "/w", .input = 1, .writable = true},
		{.kind = MOUNT_BIND, .target = "/w/a/b", .input = 1, .source = "sub", .writable = true},
	};
	run_mounted("echo x >/w/x; echo y >/w/a/b/y; ls /w /w/a/b", rw, 2, NULL);
	assert_string_equal(out(), "/w:\na\nescape\nreadme\nsub\nup\nx\n\n/w/a/b:\nfile\ny\n");
}

static void test_cache(void **state)
{
	(void)state;
	struct exec_mount m = {.kind = MOUNT_CACHE,
		.target = "/root/.cache/x",
		.input = INPUT_NONE,
		.cache_id = "one",
		.writable = true,
		.mode = 0700,
		.uid = 5,
		.gid = 6};
	struct snapshot s = {0};
	if (userns_one_id())
		m.uid = m.gid = 0;
	run_mounted("stat -c '%a %u:%g' /root/.cache/x; echo kept >/root/.cache/x/f; echo mine "
		    ">/root/.cache/other",
		&m, 1, &s);
	assert_string_equal(out(), userns_one_id() ? "700 0:0\n" : "700 5:6\n");
	assert_layer(&s, "root/\nroot/.cache/\nroot/.cache/other\n");
	strvec_fini(&s.layers);
	m.target = "/elsewhere";
	run_mounted("cat /elsewhere/f", &m, 1, NULL);
	assert_string_equal(out(), "kept\n");
	m.writable = false;
	run_mounted("touch /elsewhere/g 2>/dev/null || echo ro", &m, 1, NULL);
	assert_string_equal(out(), "ro\n");
	m.cache_id = "two";
	run_mounted("ls /elsewhere", &m, 1, NULL);
	assert_string_equal(out(), "");
}

static void test_cache_seed(void **state)
{
	(void)state;
	struct exec_mount m = {.kind = MOUNT_CACHE,
		.target = "/c",
		.input = 1,
		.source = "sub",
		.cache_id = "seeded",
		.writable = true,
		.mode = 0755};
	run_mounted("cat /c/file; echo more >/c/more", &m, 1, NULL);
	assert_string_equal(out(), "sub file\n");
	run_mounted("ls /c", &m, 1, NULL);
	assert_string_equal(out(), "file\nmore\n");
	m.source = "escape";
	struct op op = exec_op(SH("true"));
	struct snapshot s = {0};
	struct err *e = try_run(&op, &m, 1, &s);
	AUTO_FREE char *text = err_text(e);
	assert_has(text, "cache mount at /c: source escape");
	err_free(e);
	m.source = "up";
	run_mounted("ls /c", &m, 1, NULL);
	assert_string_equal(out(), "escape\nreadme\nsub\nup\n");
}

struct worker {
	enum cache_sharing sharing;
	const char *script;
	struct err *e;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fixture own = f;
	own.events = NULL;
	own.out = own.err = own.info = (struct buf){0};
	own.graph = graph_new();
	struct exec_mount m = {.kind = MOUNT_CACHE,
		.target = "/c",
		.input = INPUT_NONE,
		.cache_id = "race",
		.writable = true,
		.mode = 0755,
		.sharing = w->sharing};
	struct op op = exec_op(SH(w->script));
	op.exec.mounts = &m;
	op.exec.mount_count = 1;
	struct snapshot s = {0};
	w->e = fixture_run(&own, &op, NULL, 0, &s);
	strvec_fini(&s.layers);
	graph_free(own.graph);
	return NULL;
}

static void run_workers(enum cache_sharing sharing, const char *script)
{
	enum { WORKERS = 4 };
	pthread_t threads[WORKERS];
	struct worker w[WORKERS];
	for (int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.sharing = sharing, .script = script};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < WORKERS; i++) {
		AUTO_FREE char *text = w[i].e ? err_text(w[i].e) : mem_strdup("");
		if (w[i].e)
			fail_msg("%s", text);
	}
}

static void test_cache_sharing(void **state)
{
	(void)state;
	/* Locked: a step that finds the marker of another one running fails. */
	run_workers(CACHE_LOCKED, "mkdir /c/marker && echo x >>/c/count && sleep 0.1 && rm -r /c/marker");
	struct exec_mount m = {.kind = MOUNT_CACHE,
		.target = "/c",
		.input = INPUT_NONE,
		.cache_id = "race",
		.writable = true,
		.mode = 0755};
	run_mounted("wc -l </c/count; rm /c/count", &m, 1, NULL);
	assert_string_equal(out(), "4\n");
	/* Private: several at once, none sees another's marker. */
	run_workers(CACHE_PRIVATE, "mkdir /c/marker && sleep 0.3 && rm -r /c/marker");
	/* Shared: each waits until all four are there. */
	run_workers(CACHE_SHARED,
		"echo x >>/c/count; i=0; while [ $(wc -l </c/count) -lt 4 ]; do sleep 0.05; i=$((i+1)); "
		"[ $i -lt 200 ] || exit 1; done");
}

static void test_secrets(void **state)
{
	(void)state;
	AUTO_FREE char *file = mem_printf("%s/../secret-%d", f.home, (int)getpid());
	put_file(AT_FDCWD, file, "fr0m-f1le", 0600);
	setenv("TEST_SECRET", "fr0m-env", 1);
	const struct secret_source given[] = {
		{.id = "a", .value = STR("s3cr3t-bytes")},
		{.id = "b", .file = file},
		{.id = "c", .env = "TEST_SECRET"},
	};
	f.rc.secrets = given;
	f.rc.secret_count = 3;
	struct exec_mount m[] = {
		{.kind = MOUNT_SECRET,
			.target = "/run/secrets/a",
			.input = INPUT_NONE,
			.secret_id = "a",
			.mode = 0400},
		{.kind = MOUNT_SECRET,
			.target = "/etc/b",
			.input = INPUT_NONE,
			.secret_id = "b",
			.mode = 0444,
			.uid = 7,
			.gid = 8,
			.env = "B"},
		{.kind = MOUNT_SECRET, .input = INPUT_NONE, .secret_id = "c", .env = "C"},
		{.kind = MOUNT_SECRET,
			.target = "/run/secrets/no",
			.input = INPUT_NONE,
			.secret_id = "no",
			.env = "NO",
			.mode = 0400},
	};
	if (userns_one_id())
		m[1].uid = m[1].gid = 0;
	struct snapshot s = {0};
	/* Each letter becomes the next one, so that the values can be seen: as they are, they are not shown.
	 */
	run_mounted("cat /run/secrets/a /etc/b | tr a-y b-z; echo; cat /run/secrets/a; printf fr0m-; sleep "
		    "0.1; echo f1le; stat -c '%a %u:%g' /run/secrets/a /etc/b; echo $B $C | tr a-y b-z; "
		    "echo \"[$NO]\"; env | grep -c ^NO=; "
		    "ls /run/secrets; echo x 2>/dev/null >/etc/b && echo bad; true",
		m, 4, &s);
	assert_string_equal(out(),
		userns_one_id()
			? "t3ds3u-czuftgs0n-g1mf\n******\n400 0:0\n444 0:0\ngs0n-g1mf gs0n-fow\n[]\n1\na\n"
			: "t3ds3u-czuftgs0n-g1mf\n******\n400 0:0\n444 7:8\ngs0n-g1mf gs0n-fow\n[]\n1\na\n");
	assert_layer(&s, "");
	strvec_fini(&s.layers);
	m[3].required = true;
	struct op op = exec_op(SH("true"));
	struct snapshot none = {0};
	struct err *e = try_run(&op, m, 4, &none);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	assert_string_equal(err_message(e), "secret no: not found");
	assert_has(err_hint_text(e), "--secret id=no");
	err_free(e);
	f.rc.secret_count = 0;
	unlink(file);
	AUTO_FREE char *grep = mem_printf("grep -rqE 's3cr3t-bytes|fr0m-(f1le|env)' %s", f.home);
	assert_int_not_equal(system(grep), 0);
}

static void test_ssh(void **state)
{
	(void)state;
	AUTO_FREE char *path = mem_printf("%s/agent", f.home);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof addr), 0);
	const struct ssh_source given = {.id = "default", .socket = path};
	f.rc.ssh = &given;
	f.rc.ssh_count = 1;
	struct exec_mount m[] = {
		{.kind = MOUNT_SSH,
			.target = "/run/buildkit/ssh_agent.0",
			.input = INPUT_NONE,
			.secret_id = "default",
			.mode = 0600},
		{.kind = MOUNT_SSH,
			.target = "/run/buildkit/ssh_agent.1",
			.input = INPUT_NONE,
			.secret_id = "other",
			.mode = 0600},
	};
	run_mounted("echo $SSH_AUTH_SOCK; test -S $SSH_AUTH_SOCK && echo socket", m, 2, NULL);
	assert_string_equal(out(), "/run/buildkit/ssh_agent.0\nsocket\n");
	f.rc.ssh_count = 0;
	m[1].required = true;
	struct op op = exec_op(SH("true"));
	struct snapshot none = {0};
	struct err *e = try_run(&op, m, 2, &none);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
}

static void test_host_ca(void **state)
{
	(void)state;
	AUTO_FREE char *file = mem_printf("%s/../ca-%d", f.home, (int)getpid());
	put_file(AT_FDCWD, file, "-----BEGIN pr1vate-ca", 0600);
	const struct host_settings host = {.ca_bundle = file};
	f.rc.host = &host;
	struct snapshot s = {0};
	struct op op = exec_op(
		SH("mkdir -p /etc/ssl/certs; echo replaced >/etc/ssl/certs/new; mv /etc/ssl/certs/new "
		   "/etc/ssl/certs/ca-certificates.crt; "
		   "head -n 1 $SSL_CERT_FILE; echo $GIT_SSL_CAINFO $CURL_CA_BUNDLE; cat $APT_CONFIG $WGETRC; "
		   "touch /run/cooper/x 2>/dev/null && echo bad; true"));
	static const char *const env[] = {"PATH=/bin", "CURL_CA_BUNDLE=/own", NULL};
	op.exec.env = env;
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	assert_string_equal(out(), "-----BEGIN pr1vate-ca\n/run/cooper/ca.crt /own\nAcquire::https::CAInfo "
				   "\"/run/cooper/ca.crt\";\n"
				   "ca_certificate = /run/cooper/ca.crt\n");
	assert_layer(&s, "etc/\netc/ssl/\netc/ssl/certs/\netc/ssl/certs/ca-certificates.crt\n");
	/* The next step sees the image's own bundle in it too. */
	const struct snapshot *inputs[] = {&s};
	struct op next = exec_op(SH("cat $SSL_CERT_FILE"));
	struct snapshot after = {0};
	assert_null(fixture_run(&f, &next, inputs, 1, &after));
	assert_string_equal(out(), "-----BEGIN pr1vate-ca\nreplaced\n");
	f.rc.host = NULL;
	strvec_fini(&s.layers);
	strvec_fini(&after.layers);
	unlink(file);
	AUTO_FREE char *grep = mem_printf("grep -rq pr1vate-ca %s", f.home);
	assert_int_not_equal(system(grep), 0);
}

/* ---- images that lead elsewhere ---- */

static char canary[128];

static void fill_hostile(int root)
{
	static const char *const names[] = {"etc", "proc", "cache"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *target = mem_printf("/../../../../../..%s/%s", canary, names[i]);
		put_link(root, names[i], target);
		AUTO_FREE char *real = mem_printf("%s/%s", canary, names[i]);
		put_dir(AT_FDCWD, real);
	}
	put_link(root, "dangling", "nowhere/at/all");
	put_link(root, "loop", "loop");
}

static void test_links_stay_inside(void **state)
{
	(void)state;
	snprintf(canary, sizeof canary, "%s-canary", f.home);
	assert_int_equal(mkdir(canary, 0755), 0);
	struct snapshot s = {0};
	strvec_push(&s.layers, f.base.layers.ptr[0]);
	/* On top: /etc and others become links; the base's own /etc is hidden by them. */
	fixture_layer(&f, &s, fill_hostile);
	const struct snapshot *inputs[] = {&s};
	struct op op = exec_op(
		SH("cat /etc/hosts | head -n 1; ls /proc/self/status; echo c >/cache/c; cat /dangling"));
	const struct secret_source given = {.id = "a", .value = STR("A\n")};
	f.rc.secrets = &given;
	f.rc.secret_count = 1;
	struct exec_mount m[] = {
		{.kind = MOUNT_CACHE,
			.target = "/cache",
			.input = INPUT_NONE,
			.cache_id = "links",
			.writable = true,
			.mode = 0755},
		{.kind = MOUNT_SECRET,
			.target = "/dangling",
			.input = INPUT_NONE,
			.secret_id = "a",
			.mode = 0400},
	};
	op.exec.mounts = m;
	op.exec.mount_count = 2;
	struct snapshot out_s = {0};
	struct err *e = fixture_run(&f, &op, inputs, 1, &out_s);
	if (e) {
		AUTO_FREE char *text = err_trace(e);
		fail_msg("%s %s", text, buf_cstr(&f.err));
	}
	assert_has(out(), "127.0.0.1\tlocalhost cooper\n");
	assert_layer(&out_s, "");
	AUTO_STRVEC struct strvec names = {0};
	e = dir_list(AT_FDCWD, canary, &names);
	assert_null(e);
	assert_int_equal(names.len, 3);
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *real = mem_printf("%s/%s", canary, names.ptr[i]);
		assert_int_equal(rmdir(real), 0);
	}
	assert_int_equal(rmdir(canary), 0);
	m[0].target = "/loop/x";
	struct snapshot none = {0};
	e = fixture_run(&f, &op, inputs, 1, &none);
	assert_non_null(e);
	err_free(e);
	f.rc.secret_count = 0;
	strvec_fini(&s.layers);
	strvec_fini(&out_s.layers);
}

static void fill_whiteouts(int root)
{
	put_dir(root, "etc");
	assert_int_equal(fchmodat(root, "etc", 0711, 0), 0);
	put_whiteout(root, "etc/hosts");
	put_whiteout(root, "etc/passwd");
	put_link(root, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
	put_whiteout(root, "root");
}

static void fill_hosts(int root)
{
	put_dir(root, "etc");
	put_file(root, "etc/hosts", "old", 0644);
}

static void test_deleted_mount_points(void **state)
{
	(void)state;
	struct snapshot s = {0};
	strvec_push(&s.layers, f.base.layers.ptr[0]);
	fixture_layer(&f, &s, fill_hosts);
	fixture_layer(&f, &s, fill_whiteouts);
	const struct snapshot *inputs[] = {&s};
	struct exec_mount m = {.kind = MOUNT_TMPFS, .target = "/root/t", .input = INPUT_NONE};
	struct op op = exec_op(SH("stat -c %a /etc; head -n 1 /etc/hosts; test -e /etc/resolv.conf && echo "
				  "resolv; ls /etc; touch /root/t/x; echo a >/etc/added"));
	op.exec.mounts = &m;
	op.exec.mount_count = 1;
	struct snapshot after = {0};
	struct err *e = fixture_run(&f, &op, inputs, 1, &after);
	assert_null(e);
	assert_string_equal(
		out(), "711\n127.0.0.1\tlocalhost cooper\nresolv\ngroup\nhostname\nhosts\nresolv.conf\n");
	assert_layer(&after, "etc/\netc/added\n");
	AUTO_FD int tree = top_tree(&f, &after);
	struct stat st;
	assert_int_equal(fstatat(tree, "etc", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	/* And without the step's own mounts they are gone again. */
	const struct snapshot *next[] = {&after};
	AUTO_FD int view = -1;
	struct step_io io = {.step = 1};
	assert_null(rootfs_view(&f.rc, next[0], &io, &view));
	assert_int_equal(fstatat(view, "etc/hosts", &st, 0), -1);
	assert_int_equal(fstatat(view, "etc/added", &st, 0), 0);
	assert_int_equal(fstatat(view, "root", &st, 0), -1);
	strvec_fini(&s.layers);
	strvec_fini(&after.layers);
}

static int setup(void **state)
{
	(void)state;
	fixture_setup(&f);
	fixture_layer(&f, &context, fill_context);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	strvec_fini(&context.layers);
	fixture_teardown(&f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_bind_escapes),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_cache_seed),
		cmocka_unit_test(test_cache_sharing),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_ssh),
		cmocka_unit_test(test_host_ca),
		cmocka_unit_test(test_links_stay_inside),
		cmocka_unit_test(test_deleted_mount_points),
	};
	if (!fixture_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
