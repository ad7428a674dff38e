/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/build_args.h"
#include "cli/build_pipeline.h"
#include "cli/cmds.h"
#include "cli/render.h"
#include "repo/repo.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPT(field) offsetof(struct build_args, field)

static const struct option options[] = {
	{"file", 'f', OPTION_TEXT, "FILE", OPT(file), "the Dockerfile (default: Dockerfile of the context)"},
	{"ref", 0, OPTION_TEXT, "REF", OPT(ref), "build NAME at this commit instead of the work tree"},
	{"kind", 0, OPTION_TEXT, "KIND", OPT(kind),
		"which build file, where there are several: container.py, dockerfile or nix"},
	{"target", 0, OPTION_TEXT, "STAGE", OPT(target), "the stage to build (default: the last)"},
	{"build-arg", 0, OPTION_LIST, "NAME[=VALUE]", OPT(build_args),
		"set an ARG; a bare NAME takes the environment's value"},
	{"build-context", 0, OPTION_LIST, "NAME=VALUE", OPT(contexts),
		"a named context: a directory, docker-image://REF or URL"},
	{"secret", 0, OPTION_LIST, "id=ID,src=FILE|env=VAR", OPT(secrets),
		"a secret that steps may mount; never stored"},
	{"ssh", 0, OPTION_LIST, "ID[=SOCKET]", OPT(ssh), "an ssh agent that steps may use"},
	{"platform", 0, OPTION_TEXT, "OS/ARCH", OPT(platform),
		"platform of the image (default: this machine's)"},
	{"label", 0, OPTION_LIST, "KEY=VALUE", OPT(labels), "set a label of the image"},
	{"annotation", 0, OPTION_LIST, "KEY=VALUE", OPT(annotations), "set an annotation of the manifest"},
	{"tag", 't', OPTION_LIST, "REF", OPT(tags), "name the image in the store (and where --push puts it)"},
	{"output", 'o', OPTION_LIST, "OUTPUT", OPT(outputs),
		"DIR, -, or type=local|tar|oci|docker|image|registry,dest=PATH"},
	{"push", 0, OPTION_FLAG, NULL, OPT(push), "push the tags to their registries"},
	{"no-cache", 0, OPTION_FLAG, NULL, OPT(no_cache), "run every step again"},
	{"no-cache-filter", 0, OPTION_LIST, "STAGE", OPT(no_cache_filter),
		"run the steps of this stage again"},
	{"pull", 0, OPTION_FLAG, NULL, OPT(pull), "ask registries for newer base images"},
	{"offline", 0, OPTION_FLAG, NULL, OPT(never_pull), "use only base images that are in the store"},
	{"network", 0, OPTION_TEXT, "MODE", OPT(network), "of steps that do not say: host (default) or none"},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow),
		"security.insecure: let RUN --security=insecure leave the sandbox"},
	{"compression", 0, OPTION_TEXT, "CODEC", OPT(compression), "of new layers: gzip (default) or zstd"},
	{"jobs", 'j', OPTION_NUMBER, "N", OPT(jobs), "steps at once (default: number of CPUs)"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "auto, tty, plain, json or quiet"},
	{"quiet", 'q', OPTION_FLAG, NULL, OPT(quiet), "print only the image's digest"},
	{"metadata-file", 0, OPTION_TEXT, "FILE", OPT(metadata_file), "write digests and pins as JSON"},
	{"iidfile", 0, OPTION_TEXT, "FILE", OPT(iidfile), "write the config digest"},
	{"locked", 0, OPTION_TEXT, "FILE", OPT(locked),
		"use the sources pinned in an earlier build's metadata file"},
	{"twice", 0, OPTION_FLAG, NULL, OPT(twice), "build cold twice and show which steps and files differ"},
	{"shell-on-failure", 0, OPTION_FLAG, NULL, OPT(shell_on_failure), "open a shell where a step failed"},
};

/* Where the thing to build is, with what must outlive the request. */
struct subject {
	struct repo *repo;
	struct container container;
	struct commit commit;
	bool is_container;
	enum build_kind kind; /* what is built */
	struct strvec helpers;
	char *file; /* container.py or default.nix, relative to the repository */
	char *dir;  /* absolute context directory in the work tree */
	char *display;
};

static void subject_fini(struct subject *s)
{
	if (s->is_container)
		container_fini(&s->container);
	commit_fini(&s->commit);
	strvec_fini(&s->helpers);
	mem_freep(&s->file);
	repo_free(s->repo);
	mem_freep(&s->dir);
	mem_freep(&s->display);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static bool looks_like_path(const char *operand)
{
	return strchr(operand, '/') || operand[0] == '.';
}

static struct err *find_container(const char *name, const struct build_args *args, struct subject *s)
{
	struct repo_config cfg = {0};

	TRY(repo_open(".", &s->repo));
	TRY(repo_resolve(s->repo, args->ref ? args->ref : "HEAD", &s->commit));
	struct err *e = repo_config_load(s->repo, args->ref ? &s->commit : NULL, &cfg);
	if (!e)
		e = repo_container(s->repo, &cfg, args->ref ? &s->commit : NULL, name, &s->container);
	strvec_push_all(&s->helpers, strvec_list(&cfg.helpers));
	repo_config_fini(&cfg);
	if (e)
		return e;
	s->is_container = true;
	s->display = mem_strdup(s->container.dir);
	s->dir = path_join(repo_root(s->repo), s->container.dir);
	return NULL;
}

/* NAME in a repository, else DIR. When both fail the repository's answer is the better one, unless it was
 * plainly a path. */
static struct err *find_subject(const char *operand, const struct build_args *args, struct subject *s)
{
	if (cstr_eq(operand, "-"))
		return err_hint(err_new(ERR_USAGE, "a context is not read from standard input"),
			"name a directory, and a Dockerfile that lies elsewhere with -f FILE");
	if (looks_like_path(operand) && !args->ref) {
		if (!is_directory(operand))
			return err_new(ERR_NOT_FOUND, "there is no directory \"%s\" to build", operand);
		s->dir = mem_strdup(operand);
		s->display = mem_strdup(operand);
		return NULL;
	}
	struct err *e = find_container(operand, args, s);
	if (!e || args->ref || !is_directory(operand))
		return e;
	err_ignore(e, "it is a directory, which needs no repository");
	s->dir = mem_strdup(operand);
	s->display = mem_strdup(operand);
	return NULL;
}

static struct err *kind_of(const char *name, enum build_kind *out)
{
	for (int k = 0; k < BUILD_KINDS; k++) {
		if (cstr_eq(name, build_kind_name((enum build_kind)k))) {
			*out = (enum build_kind)k;
			return NULL;
		}
	}
	return err_new(ERR_USAGE, "--kind %s: there are container.py, dockerfile and nix", name);
}

/* container.py goes before the Dockerfile that it replaces, and both before the other way of a default.nix.
 */
static enum build_kind usual_kind(const struct container *c)
{
	return c->has[KIND_CONTAINER_PY] ? KIND_CONTAINER_PY
	       : c->has[KIND_DOCKERFILE] ? KIND_DOCKERFILE
					 : KIND_NIX;
}

static struct err *choose_kind(struct subject *s, const char *kind)
{
	s->kind = s->is_container ? usual_kind(&s->container) : KIND_DOCKERFILE;
	if (kind)
		TRY(kind_of(kind, &s->kind));
	if (!s->is_container)
		return s->kind == KIND_DOCKERFILE
			       ? NULL
			       : err_new(ERR_USAGE, "a %s is built by its name, in its repository",
					 build_kind_file(s->kind));
	if (!s->container.has[s->kind])
		return err_new(ERR_USAGE, "%s has no %s, only %s", s->container.name,
			build_kind_file(s->kind), s->container.kinds);
	s->file = path_join(s->container.dir, build_kind_file(s->kind));
	return NULL;
}

static void fill_subject(const struct subject *s, const struct build_args *args, struct build_request *rq)
{
	rq->display = s->display;
	rq->dockerfile = args->file;
	if (s->is_container) {
		rq->git_modes = true;
		rq->created = s->commit.time;
	}
	if (args->ref) {
		rq->git_dir = repo_git_dir(s->repo);
		rq->commit = s->commit.id;
		rq->subdir = s->container.dir;
		return;
	}
	rq->dir = s->dir;
	if (!args->file)
		return;
	/* A file that exists from here is meant as such; else it is one of the context. */
	struct stat st;
	rq->dockerfile_outside = fstatat(AT_FDCWD, args->file, &st, 0) == 0;
}

static json_t *metadata_descriptor(const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];
	json_t *o = json_object();

	json_set_text(o, "mediaType", d->media_type);
	json_set_text(o, "digest", digest_text(&d->digest, text));
	json_object_set_new(o, "size", json_integer((json_int_t)d->size));
	return o;
}

static struct err *write_metadata(const struct build_args *args, const struct build_result *r)
{
	char text[DIGEST_TEXT_MAX];

	if (args->iidfile) {
		digest_text(&r->config_digest, text);
		TRY(file_replace(AT_FDCWD, args->iidfile, text, strlen(text), 0644, false));
	}
	if (!args->metadata_file)
		return NULL;
	AUTO_JSON json_t *o = json_object();
	AUTO_BUF struct buf names = {0};
	json_set_text(o, "containerimage.config.digest", digest_text(&r->config_digest, text));
	json_object_set_new(o, "containerimage.descriptor", metadata_descriptor(&r->manifest));
	json_set_text(o, "containerimage.digest", digest_text(&r->manifest.digest, text));
	for (size_t i = 0; i < args->tags.len; i++)
		buf_addf(&names, "%s%s", i ? "," : "", args->tags.ptr[i]);
	if (names.len)
		json_set_text(o, "image.name", buf_cstr(&names));
	json_set_text(o, "cooper.inputs", digest_text(&r->inputs, text));
	json_object_set(o, "cooper.pins", r->pins);
	AUTO_FREE char *dump = json_dump_pretty(o);
	return file_replace(AT_FDCWD, args->metadata_file, dump, strlen(dump), 0644, false);
}

static struct err *push_one(struct cli *c, struct engine *eng, struct display *d,
	const struct build_result *r, const struct reference *ref)
{
	struct remote *remote = NULL;
	const struct transfer_io io = {display_events(d), 0, c->cancel};
	bool already = false;

	TRY(engine_remote(eng, &remote));
	return remote_push(remote, &r->manifest, ref, true, &io, &already);
}

static struct err *name_and_push(struct cli *c, struct engine *eng, struct display *d,
	const struct build_result *r, const char *name, bool push)
{
	struct reference ref = {0};

	struct err *e = reference_parse(name, true, &ref);
	if (!e)
		e = images_set_name(engine_store(eng), &ref, &r->manifest, "built");
	if (!e && push)
		e = push_one(c, eng, d, r, &ref);
	reference_fini(&ref);
	return e;
}

static struct err *deliver_one(struct cli *c, struct engine *eng, struct display *d,
	const struct build_args *args, const struct build_result *r, const char *output)
{
	AUTO(arena_freep) struct arena *a = arena_new();
	struct parsed_output o = {0};
	struct reference ref = {0};
	const char *name = args->tags.len ? args->tags.ptr[0] : NULL;

	TRY(build_output_parse(output, a, &o));
	if (o.name)
		TRY(name_and_push(c, eng, d, r, o.name, o.push));
	else if (o.push && name)
		TRY(name_and_push(c, eng, d, r, name, true));
	if (o.name)
		name = o.name;
	if (name)
		TRY(reference_parse(name, true, &ref));
	struct err *e = engine_output(eng, r, name ? &ref : NULL, &o.out, c->cancel);
	reference_fini(&ref);
	return e;
}

static struct err *deliver(struct cli *c, struct engine *eng, struct display *d,
	const struct build_args *args, const struct build_result *r)
{
	for (size_t i = 0; i < args->tags.len; i++)
		TRY(name_and_push(c, eng, d, r, args->tags.ptr[i], args->push));
	for (size_t i = 0; i < args->outputs.len; i++)
		TRY(deliver_one(c, eng, d, args, r, args->outputs.ptr[i]));
	return write_metadata(args, r);
}

static bool takes_stdout(const struct build_args *args)
{
	for (size_t i = 0; i < args->outputs.len; i++)
		if (cstr_eq(args->outputs.ptr[i], "-") || cstr_ends(args->outputs.ptr[i], "dest=-"))
			return true;
	return false;
}

static void print_result(
	struct cli *c, const struct build_args *args, const struct build_result *r, int64_t took)
{
	char digest[DIGEST_TEXT_MAX], time[CLOCK_TEXT_MAX];

	digest_text(&r->manifest.digest, digest);
	if (takes_stdout(args))
		return;
	if (args->quiet)
		fprintf(c->out, "%s\n", digest);
	else
		fprintf(c->out, "built %s in %s (%u step%s, %u cached)\n", digest, clock_duration(took, time),
			r->steps, plural(r->steps), r->cached);
	for (size_t i = 0; i < args->tags.len && !args->quiet; i++)
		fprintf(c->out, "%s %s\n", args->push ? "pushed" : "tagged", args->tags.ptr[i]);
}

static struct err *build_twice(struct cli *c, struct engine *eng, const struct build_request *rq, char **text)
{
	AUTO_BUF struct buf report = {0};
	bool equal = false;

	TRY(engine_build_twice(eng, rq, &report, &equal, text));
	if (equal) {
		fprintf(c->out, "reproducible: two cold builds gave the same layers\n");
		return NULL;
	}
	fprintf(c->out, "steps that differ between two cold builds:\n\n%s", buf_cstr(&report));
	return err_new(ERR_VIOLATION, "the build is not reproducible");
}

static struct err *build_pipeline(struct engine *eng, const struct build_args *args, const struct subject *s,
	const struct build_request *common, struct build_result *out)
{
	struct pipeline_request rq;

	TRY(build_pipeline_apply(args, common, &rq));
	if (args->ref) {
		rq.git_dir = repo_git_dir(s->repo);
		rq.commit = s->commit.id;
	} else {
		rq.root = repo_root(s->repo);
	}
	rq.file = s->file;
	rq.helpers = strvec_list(&s->helpers);
	rq.created = s->commit.time;
	rq.events = common->events;
	rq.cancel = common->cancel;
	return pipeline_build(eng, &rq, out);
}

static struct err *build_nix(struct engine *eng, const struct build_args *args, const struct subject *s,
	const struct build_request *common, struct build_result *out)
{
	struct nix_job job;

	TRY(build_nix_apply(args, common, &job));
	if (args->ref) {
		job.git_dir = repo_git_dir(s->repo);
		job.commit = s->commit.id;
	} else {
		job.root = repo_root(s->repo);
	}
	job.file = s->file;
	job.created = s->commit.time;
	job.events = common->events;
	job.cancel = common->cancel;
	return nix_job_build(eng, &job, out);
}

static struct err *build_subject(struct engine *eng, const struct build_args *args, const struct subject *s,
	const struct build_request *rq, struct build_result *out)
{
	switch (s->kind) {
	case KIND_CONTAINER_PY:
		return build_pipeline(eng, args, s, rq, out);
	case KIND_NIX:
		return build_nix(eng, args, s, rq, out);
	case KIND_DOCKERFILE:
		break;
	}
	return engine_build(eng, rq, out);
}

static struct err *build_and_deliver(struct cli *c, struct engine *eng, struct display *d,
	const struct build_args *args, const struct subject *s, struct build_request *rq)
{
	struct build_result r = {0};
	int64_t start = clock_monotonic();

	rq->events = display_events(d);
	rq->cancel = c->cancel;
	if (args->twice && s->kind == KIND_DOCKERFILE) {
		AUTO_FREE char *text = NULL;
		struct err *e = build_twice(c, eng, rq, &text);
		display_end(d);
		if (e && err_kind(e) != ERR_VIOLATION)
			display_failure(d, e, text);
		return e;
	}
	struct err *e = build_subject(eng, args, s, rq, &r);
	if (!e)
		e = deliver(c, eng, d, args, &r);
	display_end(d);
	if (e)
		display_failure(d, e, r.dockerfile_text);
	else
		print_result(c, args, &r, clock_monotonic() - start);
	build_result_fini(&r);
	return e;
}

static struct err *run_with(struct cli *c, struct build_args *args, struct subject *s, struct arena *a)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(display_freep) struct display *d = NULL;
	struct build_request rq = {0};

	TRY(build_args_check(args));
	TRY(choose_kind(s, args->kind));
	TRY(build_args_apply(args, a, &rq));
	fill_subject(s, args, &rq);
	TRY(engine_open(&c->engine, &eng));
	AUTO_FREE char *logs = path_join(engine_home(eng), "logs");
	TRY(display_new(c->err, args->quiet && !args->progress ? "quiet" : args->progress, logs, &d));
	return build_and_deliver(c, eng, d, args, s, &rq);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(arena_freep) struct arena *a = arena_new();
	struct build_args *ba = args;
	struct subject s = {0};

	struct err *e = find_subject(operands->len ? operands->ptr[0] : ".", ba, &s);
	if (!e)
		e = run_with(c, ba, &s, a);
	subject_fini(&s);
	return e;
}

const struct command cmd_build = {
	.name = "build",
	.summary = "build a container of this repository, or a directory with a Dockerfile",
	.operands = "[NAME|DIR]",
	.details = "NAME is a folder below containers/ of the repository around the current directory; DIR "
		   "(something with a slash, or "
		   "\".\", the default) needs no repository. The image lands in the store; --tag names it, "
		   "--push and --output take it "
		   "elsewhere.",
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct build_args),
	.builds = true,
	.run = run,
};
