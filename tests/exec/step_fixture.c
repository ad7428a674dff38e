/* SPDX-License-Identifier: Apache-2.0 */
#include "step_fixture.h"

#include "base/mem.h"
#include "sys/caps.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

static void must(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	fail_msg("%s", text);
}

static void must_call(int rc, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s", what, strerror(errno));
}

void put_file(int rootfd, const char *path, const char *text, unsigned mode)
{
	AUTO_FD int fd = -1;
	must(file_open(rootfd, path, O_WRONLY | O_CREAT | O_TRUNC, mode, &fd));
	must(fd_write_all(fd, text, strlen(text), path));
	must_call(fchmod(fd, mode), path);
}

void put_dir(int rootfd, const char *path)
{
	must_call(mkdirat(rootfd, path, 0755), path);
	must_call(fchmodat(rootfd, path, 0755, 0), path);
}

void put_link(int rootfd, const char *path, const char *target)
{
	must_call(symlinkat(target, rootfd, path), path);
}

void put_whiteout(int rootfd, const char *path)
{
	must_call(mknodat(rootfd, path, S_IFCHR, makedev(0, 0)), path);
}

static const char *const applets[] = {"sh", "cat", "cp", "rm", "mkdir", "ls", "id", "grep", "touch", "ln",
	"mv", "chmod", "chown", "dd", "sleep", "true", "false", "stat", "hostname", "mount", "unshare", "env",
	"pwd", "printenv", "sed", "kill", "wc", "head", "mkfifo", "mknod", "readlink", "find", "ip", "test",
	"su", "yes", "df", NULL};

static void fill_base(int root)
{
	static const char *const dirs[] = {"bin", "etc", "tmp", "root", "home", "home/bob", "lost", NULL};
	for (size_t i = 0; dirs[i]; i++)
		put_dir(root, dirs[i]);
	must_call(fchmodat(root, "tmp", 01777, 0), "tmp");
	AUTO_FD int from = -1;
	AUTO_FD int to = -1;
	must(file_open(AT_FDCWD, "/bin/busybox", O_RDONLY, 0, &from));
	must(file_open(root, "bin/busybox", O_WRONLY | O_CREAT, 0755, &to));
	struct stat st;
	must_call(fstat(from, &st), "busybox");
	must(fd_copy(from, to, (uint64_t)st.st_size, "busybox"));
	must_call(fchmod(to, 0755), "busybox");
	for (size_t i = 0; applets[i]; i++) {
		AUTO_FREE char *path = mem_printf("bin/%s", applets[i]);
		put_link(root, path, "busybox");
	}
	put_file(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n",
		0644);
	put_file(root, "etc/group", "root:x:0:\nbob:x:1001:\nstaff:x:50:bob\nvideo:x:44:alice,bob\n", 0644);
	put_file(root, "lost/a", "a", 0644);
	put_file(root, "lost/b", "b", 0644);
	if (!userns_one_id())
		must_call(fchownat(root, "home/bob", 1000, 1001, 0), "home/bob");
}

void fixture_layer(struct fixture *f, struct snapshot *s, void (*fill)(int rootfd))
{
	struct store_tree_writer *w = NULL;
	must(store_tree_begin(f->store, &w));
	mode_t old = umask(0);
	fill(store_tree_fd(w));
	umask(old);
	struct layer l = {0};
	must(store_tree_commit(w, 0, l.tree));
	must(store_layer_add(f->store, &l));
	strvec_push(&s->layers, l.id);
}

static struct err *need_tree(void *ctx, const char *id, const struct step_io *io, struct layer *out)
{
	(void)io;
	bool found = false;
	TRY(store_layer_get(ctx, id, out, &found));
	return found ? NULL : err_new(ERR_NOT_FOUND, "layer %s", id);
}

static void sink(void *ctx, const struct event *e)
{
	struct fixture *f = ctx;
	if (e->type == EVENT_OUTPUT) {
		buf_addstr(e->stream == 2 ? &f->err : &f->out, e->text);
		f->chunks++;
	} else if (e->type == EVENT_INFO || e->type == EVENT_WARNING) {
		buf_addstr(&f->info, e->text);
		buf_addc(&f->info, '\n');
	}
}

bool fixture_possible(void)
{
	if (access("/bin/busybox", X_OK) < 0)
		return false;
	err_ignore(userns_enter(), "then the next line says so");
	return caps_may_mount();
}

void fixture_setup(struct fixture *f)
{
	*f = (struct fixture){0};
	const char *tmp = getenv("COOPER_TEST_TMP");
	snprintf(f->home, sizeof f->home, "%s/step-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->home));
	must(store_open(f->home, NULL, &f->store));
	f->cache = run_cache_new(f->store);
	f->events = event_stream_new();
	event_stream_add(f->events, sink, f);
	f->cancel = cancel_new();
	f->graph = graph_new();
	f->rc = (struct run_context){
		.store = f->store,
		.cache = f->cache,
		.epoch = EPOCH_SECONDS * INT64_C(1000000000),
		.rootless = userns_is_rootless(),
		.need_tree = need_tree,
		.need_tree_ctx = f->store,
	};
	fixture_layer(f, &f->base, fill_base);
}

void fixture_teardown(struct fixture *f)
{
	if (!f->store)
		return;
	strvec_fini(&f->base.layers);
	graph_free(f->graph);
	cancel_free(f->cancel);
	event_stream_free(f->events);
	run_cache_free(f->cache);
	store_close(f->store);
	must(tree_remove(AT_FDCWD, f->home));
	buf_fini(&f->out);
	buf_fini(&f->err);
	buf_fini(&f->info);
}

struct op exec_op(const char *const *argv)
{
	static const char *const env[] = {"PATH=/bin", NULL};
	return (struct op){.kind = OP_EXEC, .exec = {.argv = argv, .env = env, .cwd = "/"}};
}

struct err *fixture_run(struct fixture *f, const struct op *op, const struct snapshot *const *inputs,
	size_t count, struct snapshot *out)
{
	/* Inputs are named by sources that nobody fetches: only their number matters here. */
	struct node *sources[8] = {0};
	const struct snapshot *base[] = {&f->base};
	if (!inputs) {
		inputs = base;
		count = 1;
	}
	for (size_t i = 0; i < count; i++) {
		AUTO_FREE char *name = mem_printf("source%zu", i);
		struct op local = {.kind = OP_LOCAL, .local = {.name = name}};
		must(graph_node(f->graph, &local, NULL, 0, NULL, &sources[i]));
	}
	struct node *node = NULL;
	must(graph_node(f->graph, op, sources, count, NULL, &node));
	buf_clear(&f->out);
	buf_clear(&f->err);
	buf_clear(&f->info);
	f->chunks = 0;
	struct step_io io = {.step = 1, .events = f->events, .cancel = f->cancel};
	return run_step(&f->rc, node, inputs, &io, out);
}

void run_ok(struct fixture *f, const char *script, struct snapshot *out)
{
	struct op op = exec_op(SH(script));
	struct snapshot mine = {0};
	struct err *e = fixture_run(f, &op, NULL, 0, out ? out : &mine);
	strvec_fini(&mine.layers);
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	fail_msg("%s\nstdout: %s\nstderr: %s", text, buf_cstr(&f->out), buf_cstr(&f->err));
}

int top_tree(struct fixture *f, const struct snapshot *s)
{
	assert_true(s->layers.len > 0);
	struct layer l = {0};
	bool found = false;
	must(store_layer_get(f->store, s->layers.ptr[s->layers.len - 1], &l, &found));
	assert_true(found);
	AUTO_FREE char *dir = store_tree_dir(f->store, l.tree);
	int fd = -1;
	must(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	return fd;
}

static void list_below(int dir, const char *prefix, struct buf *out)
{
	AUTO_STRVEC struct strvec names = {0};
	must(dir_list(dir, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		must_call(fstatat(dir, names.ptr[i], &st, AT_SYMLINK_NOFOLLOW), names.ptr[i]);
		bool is_dir = S_ISDIR(st.st_mode);
		bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
		buf_addf(out, "%s%s%s%s", prefix, names.ptr[i], is_dir ? "/" : "", whiteout ? " wh" : "");
		if (is_dir) {
			AUTO_FD int sub = -1;
			must(file_open(dir, names.ptr[i], O_RDONLY | O_DIRECTORY, 0, &sub));
			AUTO_BUF struct buf value = {0};
			struct err *e = xattr_get(sub, "user.overlay.opaque", &value);
			if (!e)
				buf_adds(out, " opaque");
			err_ignore(e, "not opaque");
			buf_addc(out, '\n');
			AUTO_FREE char *below = mem_printf("%s%s/", prefix, names.ptr[i]);
			list_below(sub, below, out);
		} else {
			buf_addc(out, '\n');
		}
	}
}

char *top_list(struct fixture *f, const struct snapshot *s)
{
	AUTO_FD int dir = top_tree(f, s);
	AUTO_BUF struct buf out = {0};
	list_below(dir, "", &out);
	return out.len ? buf_steal(&out) : mem_strdup("");
}
