/* SPDX-License-Identifier: Apache-2.0 */
#include "dagger/pipeline.h"

#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger.h"
#include "dagger/printed.h"
#include "sys/file.h"
#include "sys/process_foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define RESULT_MAX (16u << 20)
#define RESULT_CHUNK (64u << 10)

extern char **environ;

struct err *session_token(char **out)
{
	unsigned char bytes[24];
	AUTO_BUF struct buf hex = {0};

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_sys(errno, "making a token");
	for (size_t i = 0; i < sizeof(bytes); i++)
		buf_addf(&hex, "%02x", bytes[i]);
	*out = buf_steal(&hex);
	return NULL;
}

void session_environment(unsigned port, const char *token, struct strvec *out)
{
	char text[16];

	strvec_push_all(out, (const char *const *)environ);
	snprintf(text, sizeof(text), "%u", port);
	envlist_set(out, "DAGGER_SESSION_PORT", text);
	envlist_set(out, "DAGGER_SESSION_TOKEN", token);
}

/* ---- the loader ---- */

/* Beside the installed program, or beside the build directory in the sources. */
static struct err *find_loader(char **out)
{
	static const char *const places[] = {"../share/cooper/python", "../python", "../../python"};
	const char *set = getenv("COOPER_PYTHON_PATH");
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = '\0';
	AUTO_FREE char *dir = path_dir(exe);
	for (size_t i = 0; i < ARRAY_LEN(places) + 1; i++) {
		if (i == 0 && !set)
			continue;
		AUTO_FREE char *top = i == 0 ? mem_strdup(set) : path_join(dir, places[i - 1]);
		AUTO_FREE char *loader = path_join(top, "cooper/loader.py");
		bool there = false;
		TRY(file_exists(AT_FDCWD, loader, &there));
		if (there) {
			*out = steal(&loader);
			return NULL;
		}
	}
	return err_hint(err_new(ERR_NOT_FOUND, "cooper's Python files were not found beside %s", exe),
		"set COOPER_PYTHON_PATH to the folder that holds cooper/loader.py");
}

struct pipeline {
	struct engine *engine;
	const struct pipeline_request *rq;
	struct session *session;
	struct dagger *dagger;
	struct dagger_server *server;
	char *token, *root;
	bool evaluate; /* only say what it would be made from */
};

static void pipeline_fini(struct pipeline *p)
{
	dagger_server_stop(p->server);
	dagger_free(p->dagger);
	session_close(p->session);
	mem_freep(&p->token);
	mem_freep(&p->root);
}

static struct err *prepare(struct pipeline *p)
{
	const struct pipeline_request *rq = p->rq;
	const struct session_options opt = {.events = rq->events,
		.created = rq->created,
		.no_cache = rq->no_cache,
		.jobs = rq->jobs,
		.pull = rq->pull};

	TRY(session_open(p->engine, &opt, &p->session));
	if (rq->commit)
		TRY(session_checkout(p->session, rq->git_dir, rq->commit, rq->cancel, &p->root));
	else
		p->root = mem_strdup(rq->root);
	const struct dagger_options d = {.session = p->session, .workdir = p->root, .events = rq->events};
	TRY(dagger_new(&d, &p->dagger));
	TRY(session_token(&p->token));
	return dagger_serve(p->dagger, p->token, &p->server);
}

static struct err *arguments(const struct pipeline *p, struct strvec *argv)
{
	const struct pipeline_request *rq = p->rq;
	const char *python = getenv("COOPER_PYTHON");
	AUTO_FREE char *loader = NULL;

	TRY(find_loader(&loader));
	strvec_push(argv, python && *python ? python : "python3");
	strvec_push(argv, "-E");
	if (rq->print_events)
		strvec_push(argv, "-u"); /* lines when they are printed, also into a pipe */
	strvec_push(argv, loader);
	strvec_pushf(argv, "--result=%d", FOREGROUND_FD);
	strvec_pushf(argv, "--root=%s", p->root);
	if (rq->platform)
		strvec_pushf(argv, "--platform=%s", rq->platform);
	if (p->evaluate)
		strvec_push(argv, "--evaluate");
	for (size_t i = 0; rq->helpers && rq->helpers[i]; i++) {
		AUTO_FREE char *dir = path_join(p->root, rq->helpers[i]);
		bool there = false;
		TRY(file_exists(AT_FDCWD, dir, &there));
		if (there)
			strvec_pushf(argv, "--helpers=%s", dir);
	}
	strvec_push_take(argv, path_join(p->root, rq->file));
	return NULL;
}

/* Until the loader closes its end, which it does when it ends, or until the build is canceled. */
static struct err *read_result(int from, const struct cancel *cancel, struct buf *out)
{
	struct pollfd p[] = {{.fd = from, .events = POLLIN}, {.fd = cancel_fd(cancel), .events = POLLIN}};

	while (out->len <= RESULT_MAX) {
		if (poll(p, 2, -1) < 0 && errno == EINTR)
			continue;
		if (p[1].revents)
			return NULL;
		buf_reserve(out, RESULT_CHUNK);
		ssize_t n = read(from, out->ptr + out->len, RESULT_CHUNK);
		if (n < 0 && errno != EINTR)
			return err_sys(errno, "reading what container.py gave");
		if (n == 0)
			return NULL;
		out->len += n > 0 ? (size_t)n : 0;
	}
	return err_new(ERR_INVALID, "what container.py gave is larger than %u bytes", RESULT_MAX);
}

/* Run it, and what it said at its end. output_fd as in foreground_request; closed here. */
static struct err *run_program(const struct pipeline *p, int output_fd, struct buf *result)
{
	AUTO_STRVEC struct strvec argv = {0}, env = {0};
	AUTO_FD int output = output_fd > 0 ? output_fd : -1;
	struct foreground child;
	int ends[2], status = 0;

	TRY(arguments(p, &argv));
	session_environment(dagger_server_port(p->server), p->token, &env);
	/* It would be in the log of the first program that prints its environment. */
	envlist_unset(&env, "COOPER_TOKEN");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	AUTO_FD int from = ends[0];
	AUTO_FD int to = ends[1];
	const struct foreground_request rq = {.argv = strvec_list(&argv),
		.env = strvec_list(&env),
		.dir = p->root,
		.pass_fd = to,
		.output_fd = output_fd};
	struct err *e = foreground_start(&rq, &child);
	if (err_kind(e) == ERR_NOT_FOUND)
		return err_hint(e, "container.py needs Python with the dagger-io package; COOPER_PYTHON "
				   "names the interpreter");
	TRY(e);
	fd_closep(&to);
	fd_closep(&output);
	e = read_result(from, p->rq->cancel, result);
	fd_closep(&from); /* a loader that has more to say must not wait for us */
	struct err *waited = foreground_wait(&child, p->rq->cancel, &status);
	e = err_first(e, waited);
	e = err_first(e, cancel_check(p->rq->cancel));
	if (!e && !result->len)
		e = err_new(ERR_EXITED, "the Python process of %s ended with status %d and gave nothing",
			p->rq->file, status);
	return e;
}

static struct err *run_loader(const struct pipeline *p, struct buf *result)
{
	struct printed *printed = NULL;
	int fd = 0;

	if (p->rq->print_events)
		TRY(printed_start(p->rq->events, &printed, &fd));
	struct err *e = run_program(p, fd, result);
	printed_end(printed);
	return e;
}

static struct err *told_error(const struct pipeline *p, const json_t *error)
{
	const char *type = json_string_value(json_object_get(error, "type"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *file = json_string_value(json_object_get(error, "file"));
	const char *code = json_string_value(json_object_get(error, "code"));
	json_int_t line = json_integer_value(json_object_get(error, "line"));
	struct err *e;

	if (file)
		e = err_new(ERR_INVALID, "%s:%lld: %s: %s", file, (long long)line, type ? type : "error",
			message ? message : "");
	else
		e = err_new(ERR_INVALID, "%s: %s: %s", p->rq->file, type ? type : "error",
			message ? message : "");
	return code && *code ? err_hint(e, "the line is: %s", code) : e;
}

/* files: of the repository, that Python read. */
static struct err *container_id(const struct pipeline *p, struct str text, char **id, struct strvec *files)
{
	AUTO_JSON json_t *o = NULL;

	TRY(json_parse(text, "what container.py gave", &o));
	TRY(json_get_strings(o, "files", "what container.py gave", files));
	const json_t *error = json_object_get(o, "error");
	if (error)
		return told_error(p, error);
	const char *s = json_string_value(json_object_get(o, "id"));
	if (!s)
		return err_new(ERR_BUG, "the loader gave no id");
	*id = mem_strdup(s);
	return NULL;
}

/* ---- the image ---- */

static void add_labels(json_t *config, const char *const *labels)
{
	if (!labels || !labels[0])
		return;
	json_t *have = json_need_object(json_need_object(config, "config"), "Labels");
	for (size_t i = 0; labels[i]; i++) {
		const char *eq = strchr(labels[i], '=');
		AUTO_FREE char *key =
			mem_strndup(labels[i], eq ? (size_t)(eq - labels[i]) : strlen(labels[i]));
		json_set_text(have, key, eq ? eq + 1 : "");
	}
}

/* The container with what the request adds; annotations and config are the caller's. */
static struct err *find_variant(const struct pipeline *p, const char *id, struct strvec *annotations,
	json_t **config, struct session_variant *v)
{
	TRY(dagger_image_of(p->dagger, id, v));
	strvec_push_all(annotations, v->annotations);
	strvec_push_all(annotations, p->rq->annotations);
	*config = json_deep_copy(v->config);
	add_labels(*config, p->rq->labels);
	v->config = *config;
	v->annotations = strvec_list(annotations);
	return NULL;
}

/* ---- what it is made from ---- */

static bool is_helper(const struct pipeline *p, const char *file)
{
	for (size_t i = 0; p->rq->helpers && p->rq->helpers[i]; i++)
		if (path_below(file, p->rq->helpers[i]))
			return true;
	return false;
}

#define SCRIPT_MAX (64u << 20)

static struct err *add_scripts(const struct pipeline *p, const struct strvec *files, struct evaluation *out)
{
	AUTO_FD int root = -1;
	char hex[DIGEST_TEXT_MAX];

	TRY(file_open(AT_FDCWD, p->root, O_PATH | O_DIRECTORY, 0, &root));
	for (size_t i = 0; i < files->len; i++) {
		AUTO_BUF struct buf text = {0};
		struct digest d;
		bool found = false;
		struct err *e = root_read(root, files->ptr[i], SCRIPT_MAX, &text, &found);
		if (e)
			err_ignore(e, "a directory, or no file that is read whole: it explains nothing");
		if (!found)
			continue;
		AUTO_FREE char *name =
			mem_printf("%s%s", files->ptr[i], is_helper(p, files->ptr[i]) ? " (helper)" : "");
		digest_of(text.ptr, text.len, &d);
		evaluation_add(out, INPUT_SCRIPT, name)->state = mem_strdup(digest_hex(&d, hex));
	}
	return NULL;
}

struct described {
	struct strvec files, annotations;
	char *id;
	char *root; /* what Python names is its real path */
	json_t *config;
	struct session_variant variant;
};

static void described_fini(struct described *d)
{
	strvec_fini(&d->files);
	strvec_fini(&d->annotations);
	mem_freep(&d->id);
	mem_freep(&d->root);
	json_unrefp(&d->config);
}

/* Run build() and find the container it gave. */
static struct err *describe(struct pipeline *p, struct described *d)
{
	AUTO_BUF struct buf result = {0};

	TRY(prepare(p));
	TRY(run_loader(p, &result));
	TRY(container_id(p, buf_str(&result), &d->id, &d->files));
	d->root = realpath(p->root, NULL);
	return find_variant(p, d->id, &d->annotations, &d->config, &d->variant);
}

static struct err *build(struct pipeline *p, struct build_result *out)
{
	AUTO(described_fini) struct described d = {0};
	struct descriptor image = {0};

	TRY(describe(p, &d));
	const struct session_image_options opt = {
		.codec = p->rq->codec,
		.cancel = p->rq->cancel,
		.evaluated = p->rq->evaluated,
		.evaluated_root = d.root,
	};
	TRY(session_image(p->session, &d.variant, 1, &opt, &image, out));
	return p->rq->evaluated ? add_scripts(p, &d.files, p->rq->evaluated) : NULL;
}

struct err *pipeline_build(struct engine *e, const struct pipeline_request *rq, struct build_result *out)
{
	struct pipeline p = {.engine = e, .rq = rq};
	struct err *failed = build(&p, out);

	pipeline_fini(&p);
	return failed;
}

static struct err *evaluate(struct pipeline *p, struct evaluation *out)
{
	AUTO(described_fini) struct described d = {0};

	TRY(describe(p, &d));
	TRY(session_evaluate(p->session, &d.variant, d.root, p->rq->cancel, out));
	return add_scripts(p, &d.files, out);
}

struct err *pipeline_evaluate(struct engine *e, const struct pipeline_request *rq, struct evaluation *out)
{
	struct pipeline p = {.engine = e, .rq = rq, .evaluate = true};
	AUTO(evaluation_fini) struct evaluation made;

	evaluation_init(&made);
	struct err *failed = evaluate(&p, &made);
	pipeline_fini(&p);
	TRY(failed);
	*out = made;
	evaluation_init(&made);
	return NULL;
}
