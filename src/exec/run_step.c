/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/run_step.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "exec/step_internal.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Stages of the sandbox are numbered; two are ours. */
#define MOUNTS_MAX (SANDBOX_STAGES - 2)

static void attempt_fini(struct attempt *a)
{
	for (size_t i = 0; i < a->mount_count; i++)
		fd_closep(&a->mounts[i].fd);
	mem_freep(&a->mounts);
	fd_closep(&a->root_fd);
	fd_closep(&a->files_fd);
	fd_closep(&a->secrets_fd);
	image_user_fini(&a->user);
	strvec_fini(&a->env);
}

static struct err *mount_root(struct step *s, struct attempt *a)
{
	AUTO_STRVEC struct strvec points = {0};
	strvec_push_all(&points, sandbox_mount_points());
	step_files_points(s, &points);
	step_mounts_points(a, &points);
	struct rootfs_request rq = {
		.snapshot = s->input_count ? s->inputs[0] : NULL,
		.points = strvec_list(&points),
		.upper = s->upper,
		.work = arena_printf(s->arena, "%s/work-%u", s->dir, s->attempt),
		.scratch = arena_printf(s->arena, "%s/stubs-%u", s->dir, s->attempt),
	};
	return rootfs_mount(s->rc, &rq, s->io, &a->root_fd);
}

static struct err *prepare(struct step *s, struct attempt *a)
{
	s->attempt++;
	TRY(step_mounts_open(s, a));
	TRY(mount_root(s, a));
	TRY(step_files_open(s, a));
	TRY(image_user_lookup(a->root_fd, s->op->user, &a->user));
	step_env_make(s, a);
	return NULL;
}

static struct err *make_plan(
	struct step *s, struct attempt *a, const char *const *argv, struct sandbox_plan *p)
{
	int root = fcntl(a->root_fd, F_DUPFD_CLOEXEC, 3);
	if (root < 0)
		return err_sys(errno, "keeping the root of a step");
	struct sandbox_settings set = {
		.hostname = s->op->hostname ? s->op->hostname : "cooper",
		.own_network = s->op->network == NETWORK_NONE,
		.privileged = s->op->insecure,
		.rootless = s->rc->rootless,
		.one_id = userns_one_id(),
		.root_fd = root,
		.uid = a->user.uid,
		.gid = a->user.gid,
		.groups = a->user.groups,
		.group_count = a->user.group_count,
		.cwd = s->op->cwd ? s->op->cwd : "/",
		.argv = argv,
		.env = strvec_list(&a->env),
	};
	step_stages_plan(a, p);
	sandbox_plan_begin(p, &set);
	step_files_plan(a, p);
	step_mounts_plan(a, p);
	sandbox_plan_end(p, &set);
	return NULL;
}

/* What the program reads as its input. */
static struct err *open_stdin(const struct step *s, const struct attempt *a, int *out)
{
	if (s->op->redirect_stdin) {
		AUTO_FREE char *path = path_resolve(s->op->cwd ? s->op->cwd : "/", s->op->redirect_stdin);
		struct err *e = root_open(a->root_fd, path, O_RDONLY | O_NONBLOCK, 0, out);
		return e ? err_wrap(e, "the input of the step") : NULL;
	}
	if (!s->op->stdin_text)
		return file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, out);
	AUTO_FD int fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "making the input of a step");
	TRY(fd_write_all(fd, s->op->stdin_text, strlen(s->op->stdin_text), "the input of a step"));
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(errno, "making the input of a step");
	*out = steal_fd(&fd);
	return NULL;
}

/* A pipe that the step's user may also open by name, as /dev/stdout. */
static struct err *open_pipe(const struct attempt *a, int *from, int *to)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	*from = ends[0];
	*to = ends[1];
	if (a->user.uid && fchown(*to, a->user.uid, a->user.gid) < 0 && errno != EINVAL && errno != EPERM)
		return err_sys(errno, "giving the output to user %u", a->user.uid);
	return NULL;
}

static struct err *run_piped(struct step *s, struct attempt *a, struct sandbox_plan *p,
	struct sandbox_start *how, bool *exec_failed, struct step_end *end)
{
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	AUTO_FD int out_end = -1;
	AUTO_FD int err = -1;
	AUTO_FD int err_end = -1;
	TRY(open_stdin(s, a, &in));
	TRY(open_pipe(a, &out, &out_end));
	TRY(open_pipe(a, &err, &err_end));
	how->stdio[0] = in;
	how->stdio[1] = out_end;
	how->stdio[2] = err_end;
	struct sandbox_process process;
	TRY(sandbox_start(p, how, exec_failed, &process));
	fd_closep(&out_end);
	fd_closep(&err_end);
	return step_output_pass(s, &process, steal_fd(&out), steal_fd(&err), end);
}

static struct err *run_on_terminal(
	struct sandbox_plan *p, struct sandbox_start *how, bool *exec_failed, struct step_end *end)
{
	how->foreground = true;
	for (int i = 0; i < 3; i++)
		how->stdio[i] = i;
	struct sandbox_process process;
	TRY(sandbox_start(p, how, exec_failed, &process));
	struct err *e = sandbox_wait(&process, &end->code, &end->signal);
	/* Take the terminal back; asking for it from the background would stop us. */
	sigset_t ttou, old;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetpgrp(STDIN_FILENO, getpgrp());
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return e;
}

struct err *step_attempt(struct step *s, const char *const *argv, bool foreground, struct step_end *end)
{
	struct attempt a AUTO(attempt_fini) = {.root_fd = -1, .files_fd = -1, .secrets_fd = -1};
	TRY(prepare(s, &a));
	struct sandbox_plan *p AUTO(sandbox_plan_freep) = sandbox_plan_new();
	TRY(make_plan(s, &a, argv, p));
	struct sandbox_start how = {.work_dir = s->dir, .own_network = s->op->network == NETWORK_NONE};
	bool exec_failed = false;
	struct err *e = foreground ? run_on_terminal(p, &how, &exec_failed, end)
				   : run_piped(s, &a, p, &how, &exec_failed, end);
	if (e && exec_failed)
		return step_explain_exec(s, a.root_fd, argv, strvec_list(&a.env), e);
	return e || foreground ? e : step_redirect(s, &a);
}

static bool is_accepted(const struct op_exec *op, const struct step_end *end)
{
	if (end->signal)
		return false;
	if (end->code == 0)
		return !op->reject_zero;
	for (size_t i = 0; i < op->accept_count; i++) {
		if (op->accept[i] == end->code)
			return true;
	}
	return false;
}

static void tell_output(const struct step *s, const struct node *n, const char *layer, int code)
{
	struct exec_output o = {
		layer, code, buf_str(&s->written[0]), buf_str(&s->written[1]), buf_str(&s->written[2])};

	if (s->rc->captured)
		s->rc->captured(s->rc->captured_ctx, n, &o);
}

static struct err *run_program(struct step *s, const struct node *n, struct step_end *end)
{
	struct err *e = step_attempt(s, s->op->argv, false, end);
	if (!e && !is_accepted(s->op, end))
		e = step_exit_error(s, s->op->argv, end);
	if (err_kind(e) == ERR_EXITED)
		tell_output(s, n, NULL, err_exit_code(e));
	if (err_kind(e) == ERR_EXITED && s->rc->shell_on_failure)
		step_shell(s);
	return e;
}

static struct err *check_request(const struct op_exec *op)
{
	if (op->network == NETWORK_ISOLATED)
		return err_hint(err_new(ERR_UNSUPPORTED, "network mode isolated is not offered yet"),
			"use host (the default) or none");
	if (op->mount_count > MOUNTS_MAX)
		return err_new(
			ERR_INVALID, "a step has %zu mounts; %d are possible", op->mount_count, MOUNTS_MAX);
	return NULL;
}

static void step_fini(struct step *s)
{
	step_kept_abandon(s);
	for (size_t i = 0; i < ARRAY_LEN(s->written); i++)
		buf_fini(&s->written[i]);
	for (size_t i = 0; i < ARRAY_LEN(s->held); i++)
		buf_fini(&s->held[i]);
	for (size_t i = 0; i < s->masked.len; i++)
		explicit_bzero(s->masked.ptr[i], strlen(s->masked.ptr[i]));
	strvec_fini(&s->masked);
}

static struct err *commit(struct step *s, struct store_tree_writer **w, int64_t start, struct snapshot *out)
{
	uint64_t size = 0;
	TRY(step_settle(store_tree_fd(*w), start, s->rc->epoch, &size));
	struct layer l = {0};
	TRY(store_tree_commit(steal(w), size, l.tree));
	TRY(store_layer_add(s->rc->store, &l));
	if (s->input_count && s->inputs[0])
		strvec_push_all(&out->layers, strvec_list(&s->inputs[0]->layers));
	strvec_push(&out->layers, l.id);
	return NULL;
}

struct err *run_step(struct run_context *rc, const struct node *node, const struct snapshot *const *inputs,
	const struct step_io *io, struct snapshot *out)
{
	if (node_op(node)->kind != OP_EXEC)
		return err_new(ERR_BUG, "run_step was given a %s", op_kind_name(node_op(node)->kind));
	struct op_exec op;
	TRY(check_request(&node_op(node)->exec));
	TRY(cancel_check(io->cancel));
	struct arena *arena AUTO(arena_freep) = arena_new();
	TRY(step_owners_find(rc, &node_op(node)->exec, inputs[0], io, arena, &op));
	struct volume_set *volumes AUTO(volumes_closep) = NULL;
	TRY(volumes_open(rc, &op, inputs, io, &volumes));
	struct store_tree_writer *w AUTO(store_tree_abandonp) = NULL;
	TRY(store_tree_begin(rc->store, &w));
	const char *dir = store_tree_path(w);
	struct step s AUTO(step_fini) = {
		.rc = rc,
		.op = &op,
		.inputs = inputs,
		.input_count = node_input_count(node),
		.io = io,
		.arena = arena,
		.dir = dir,
		.upper = arena_printf(arena, "%s/fs", dir),
		.volumes = volumes,
		.capture = rc->captured || op.redirect_stdout || op.redirect_stderr,
	};
	/* By the file system's own clock, which gives no later file an earlier time than this fresh
	 * directory's. */
	struct stat st;
	if (fstat(store_tree_fd(w), &st) < 0)
		return err_sys(errno, "reading %s", s.upper);
	/* Programs that set times in whole seconds set ones before this within the first second. */
	int64_t start = stat_mtime_ns(&st) - stat_mtime_ns(&st) % CLOCK_SECOND;
	struct step_end end = {0};
	TRY(step_kept_begin(&s));
	TRY(run_program(&s, node, &end));
	TRY(commit(&s, &w, start, out));
	TRY(step_kept_commit(&s, start, out->layers.ptr[out->layers.len - 1]));
	tell_output(&s, node, out->layers.ptr[out->layers.len - 1], end.code);
	return NULL;
}
