/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/engine_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define DOCKERFILE_MAX (4u << 20)
#define CONTEXT_NAME "context"

static struct local_source main_context(const struct build_request *rq)
{
	if (rq->commit)
		return (struct local_source){.name = CONTEXT_NAME,
			.git_dir = rq->git_dir,
			.commit = rq->commit,
			.subdir = rq->subdir,
			.git_modes = true};
	return (struct local_source){.name = CONTEXT_NAME, .dir = rq->dir, .git_modes = rq->git_modes};
}

static bool context_is_local(const char *value)
{
	return !strstr(value, "://") && !cstr_starts(value, "git@");
}

static struct err *check_context_dir(const struct build_context_arg *arg)
{
	struct stat st;

	if (fstatat(AT_FDCWD, arg->value, &st, 0) < 0 || !S_ISDIR(st.st_mode))
		return err_hint(err_new(ERR_NOT_FOUND, "build context \"%s\": \"%s\" is not a directory",
					arg->name, arg->value),
			"a context is a directory, docker-image://REF, or a git or http URL");
	return NULL;
}

/* The epoch that file times and "created" follow when the request does not say: --build-arg, then the
 * environment. */
struct err *engine_source_date_epoch(const struct build_request *rq, int64_t *out, bool *given)
{
	const char *text = NULL, *env = getenv("SOURCE_DATE_EPOCH");
	int64_t seconds = 0;

	for (size_t i = 0; rq->build_args && rq->build_args[i]; i++)
		if (cstr_starts(rq->build_args[i], "SOURCE_DATE_EPOCH="))
			text = strchr(rq->build_args[i], '=') + 1;
	if (!text)
		text = env;
	*given = text && *text;
	*out = FIXED_EPOCH;
	if (!*given)
		return NULL;
	if (!str_to_i64(str_c(text), &seconds) || seconds < 0 || seconds > INT64_C(253402300799))
		return err_new(
			ERR_INVALID, "SOURCE_DATE_EPOCH is not a number of seconds since 1970: \"%s\"", text);
	*out = seconds * CLOCK_SECOND;
	return NULL;
}

static struct err *choose_times(struct build *b)
{
	bool given = false;

	TRY(engine_source_date_epoch(b->rq, &b->epoch, &given));
	b->created = b->rq->created && !given ? b->rq->created : b->epoch;
	return NULL;
}

static struct err *choose_platform(struct build *b)
{
	struct platform p;

	if (b->rq->platform)
		TRY(platform_parse(b->rq->platform, &p));
	else
		platform_host(&p);
	platform_text(&p, b->platform);
	return NULL;
}

struct host_settings engine_host_settings(const struct engine *e)
{
	const struct settings *s = e->settings;

	return (struct host_settings){
		.ca_bundle = settings_ca_bundle(s),
		.env = strvec_list(&s->env),
		.nameservers = s->nameservers.len ? strvec_list(&s->nameservers) : NULL,
		.search = s->search.len ? strvec_list(&s->search) : NULL,
		.extra_hosts = strvec_list(&s->hosts_file),
	};
}

static struct err *make_executor(struct build *b)
{
	const struct build_request *rq = b->rq;
	struct engine *eng = b->engine;
	AUTO_FREE struct local_source *locals = mem_array(rq->context_count + 1, sizeof(*locals));
	size_t count = 0;
	struct remote *remote = NULL;

	locals[count++] = main_context(rq);
	for (size_t i = 0; i < rq->context_count; i++) {
		if (!context_is_local(rq->contexts[i].value))
			continue;
		TRY(check_context_dir(&rq->contexts[i]));
		strvec_pushf(&b->context_names, "context:%s", rq->contexts[i].name);
		locals[count++] = (struct local_source){
			.name = b->context_names.ptr[b->context_names.len - 1],
			.dir = rq->contexts[i].value,
		};
	}
	TRY(engine_remote(eng, &remote));
	const struct sandbox_executor_options opt = {
		.store = eng->store,
		.remote = remote,
		.locals = locals,
		.local_count = count,
		.secrets = rq->secrets,
		.secret_count = rq->secret_count,
		.ssh = rq->ssh,
		.ssh_count = rq->ssh_count,
		.host = engine_host_settings(eng),
		.epoch = b->epoch,
		.shell_on_failure = rq->shell_on_failure,
	};
	return sandbox_executor_new(&opt, &b->ex);
}

static char *shown_path(const struct build *b, const char *file)
{
	const char *prefix = b->rq->display ? b->rq->display : b->rq->dir;

	if (!prefix || b->rq->dockerfile_outside || cstr_eq(prefix, "."))
		return mem_strdup(file);
	return path_join(prefix, file);
}

static struct err *read_context(struct build *b, const char *path, struct buf *out, bool *found)
{
	const struct local_source context = main_context(b->rq);

	return local_source_read(&context, path, DOCKERFILE_MAX, out, found);
}

/* A link that leads out of the context leads nowhere, which its name alone does not tell. */
static bool is_link(const struct build *b, const char *path)
{
	struct stat st;

	if (b->rq->commit)
		return false;
	AUTO_FREE char *full = path_join(b->rq->dir, path);
	return !fstatat(AT_FDCWD, full, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
}

static struct err *no_dockerfile(const struct build *b, const char *name)
{
	AUTO_FREE char *path = shown_path(b, name);

	if (is_link(b, name))
		return err_hint(err_new(ERR_NOT_FOUND,
					"%s is a link, and what it leads to is not in the context", path),
			"name the file itself with -f FILE");
	return err_hint(err_new(ERR_NOT_FOUND, "there is no %s", path), "name another one with -f FILE");
}

static struct err *read_dockerfile(struct build *b, char **name)
{
	static const char *const usual[] = {"Dockerfile", "dockerfile"};
	const char *asked = b->rq->dockerfile;
	bool found = false;

	if (asked && b->rq->dockerfile_outside) {
		TRY(file_read(AT_FDCWD, asked, DOCKERFILE_MAX, &b->dockerfile));
		*name = mem_strdup(asked);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(usual) && !found; i++) {
		const char *path = asked ? asked : usual[i];
		TRY(read_context(b, path, &b->dockerfile, &found));
		if (found)
			*name = mem_strdup(path);
		if (asked)
			break;
	}
	return found ? NULL : no_dockerfile(b, asked ? asked : usual[0]);
}

/* The ignore file beside a Dockerfile that is named by a path of its own. */
static struct err *read_outside(struct build *b, const char *path, bool *found)
{
	TRY(file_exists(AT_FDCWD, path, found));
	if (!*found)
		return NULL;
	b->ignore_path = mem_strdup(path);
	return file_read(AT_FDCWD, path, DOCKERFILE_MAX, &b->ignore);
}

static struct err *read_ignore_file(struct build *b, const char *dockerfile)
{
	AUTO_FREE char *own = mem_printf("%s.dockerignore", dockerfile);
	const char *names[] = {own, ".dockerignore"};
	bool found = false;

	if (b->rq->dockerfile_outside)
		TRY(read_outside(b, own, &found));
	for (size_t i = b->rq->dockerfile_outside; i < ARRAY_LEN(names) && !found; i++) {
		TRY(read_context(b, names[i], &b->ignore, &found));
		if (found)
			b->ignore_path = shown_path(b, names[i]);
	}
	return NULL;
}

static void free_pin(void *p)
{
	source_pin_fini(p);
	mem_freep(&p);
}

/* Pins of an earlier build's record: [{"source": definition digest, "pin": text, "digest": digest}]. */
static struct err *load_locked(struct build *b)
{
	AUTO_JSON json_t *list = NULL;

	if (!b->rq->locked)
		return NULL;
	TRY(json_parse(str_c(b->rq->locked), "the lock file", &list));
	if (!json_is_array(list))
		return err_new(ERR_INVALID, "the lock file is not a list of pins");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		const char *source = json_string_value(json_object_get(o, "source"));
		const char *text = json_string_value(json_object_get(o, "pin"));
		const char *digest = json_string_value(json_object_get(o, "digest"));
		struct digest d;
		if (!source || !text || !digest)
			return err_new(
				ERR_INVALID, "the lock file's entry %zu lacks source, pin or digest", i + 1);
		TRY(digest_parse(str_c(digest), &d));
		struct source_pin *p = mem_new(struct source_pin);
		p->text = mem_strdup(text);
		p->digest = d;
		map_set_c(b->pins, source, p);
	}
	return NULL;
}

struct err *build_prepare(struct build *b)
{
	AUTO_FREE char *name = NULL;

	b->graph = graph_new();
	b->pins = map_new(free_pin);
	TRY(choose_times(b));
	TRY(choose_platform(b));
	TRY(make_executor(b));
	TRY(load_locked(b));
	TRY(read_dockerfile(b, &name));
	b->dockerfile_path = shown_path(b, name);
	return read_ignore_file(b, name);
}

void build_fini(struct build *b)
{
	solve_result_free(b->solved);
	dockerfile_build_fini(&b->file);
	graph_free(b->graph);
	sandbox_executor_free(b->ex);
	map_free(b->pins);
	buf_fini(&b->dockerfile);
	buf_fini(&b->ignore);
	mem_freep(&b->dockerfile_path);
	mem_freep(&b->ignore_path);
	strvec_fini(&b->context_names);
}
