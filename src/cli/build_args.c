/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_args.h"

#include "base/mem.h"
#include "dockerfile/frontend.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE_MAX (16u << 20)

/* "k=v,k2=v2" into pairs; value NULL without '='. Quotes as in CSV are not needed for what these options
 * take. */
struct pair {
	const char *key, *value;
};

static struct vec split_pairs(const char *text, struct arena *a)
{
	struct vec out = VEC_OF(struct pair);
	struct str rest = str_c(text), item;

	while (rest.ptr && str_split(&rest, ',', &item)) {
		char *key = arena_str(a, item);
		char *eq = strchr(key, '=');
		if (eq)
			*eq = '\0';
		vec_push_copy(&out, &(struct pair){key, eq ? eq + 1 : NULL});
	}
	return out;
}

static struct err *unknown_key(const char *option, const char *key, const char *takes)
{
	return err_hint(err_new(ERR_USAGE, "--%s does not take \"%s\"", option, key), "it takes %s", takes);
}

static struct err *parse_secret(const char *text, struct arena *a, struct secret_source *out)
{
	struct vec pairs = split_pairs(text, a);
	struct err *e = NULL;
	const char *type = NULL;

	for (size_t i = 0; i < pairs.len && !e; i++) {
		const struct pair *p = vec_at(&pairs, i);
		if (cstr_eq(p->key, "id"))
			out->id = p->value;
		else if (cstr_eq(p->key, "src") || cstr_eq(p->key, "source"))
			out->file = p->value;
		else if (cstr_eq(p->key, "env"))
			out->env = p->value;
		else if (cstr_eq(p->key, "type"))
			type = p->value;
		else
			e = unknown_key("secret", p->key, "id=NAME and src=FILE or env=VARIABLE");
	}
	vec_fini(&pairs);
	if (e)
		return e;
	if (!out->id || !*out->id)
		return err_new(ERR_USAGE, "--secret \"%s\" has no id=NAME", text);
	if (cstr_eq(type, "env") && !out->env)
		out->env = out->file ? out->file : out->id;
	if (out->env)
		out->file = NULL;
	if (!out->file && !out->env) {
		if (getenv(out->id))
			out->env = out->id;
		else
			out->file = out->id;
	}
	if (out->env && !getenv(out->env))
		return err_new(ERR_NOT_FOUND, "--secret %s: the environment variable %s is not set", out->id,
			out->env);
	if (out->file && access(out->file, R_OK) < 0)
		return err_new(ERR_NOT_FOUND, "--secret %s: the file %s cannot be read", out->id, out->file);
	struct stat st;
	if (out->file && !fstatat(AT_FDCWD, out->file, &st, 0) && S_ISDIR(st.st_mode))
		return err_new(ERR_USAGE, "--secret %s: %s is a directory, not a file", out->id, out->file);
	return NULL;
}

static struct err *parse_ssh(const char *text, struct arena *a, struct ssh_source *out)
{
	const char *eq = strchr(text, '=');

	out->id = eq ? arena_strndup(a, text, (size_t)(eq - text)) : text;
	out->socket = eq ? eq + 1 : getenv("SSH_AUTH_SOCK");
	if (!out->socket || !*out->socket)
		return err_hint(err_new(ERR_NOT_FOUND, "--ssh %s: there is no agent", out->id),
			"start ssh-agent, or name its socket: --ssh %s=PATH", out->id);
	return NULL;
}

static struct err *parse_contexts(const struct build_args *args, struct arena *a, struct build_request *rq)
{
	struct build_context_arg *list = arena_array(a, args->contexts.len + 1, sizeof(*list));

	for (size_t i = 0; i < args->contexts.len; i++) {
		const char *text = args->contexts.ptr[i], *eq = strchr(text, '=');
		if (!eq || eq == text || !eq[1])
			return err_new(ERR_USAGE, "--build-context takes NAME=VALUE, not \"%s\"", text);
		list[i] = (struct build_context_arg){arena_strndup(a, text, (size_t)(eq - text)), eq + 1};
	}
	rq->contexts = list;
	rq->context_count = args->contexts.len;
	return NULL;
}

/* A bare NAME takes the environment's value, and is nothing when that is not set. */
static void parse_build_args(const struct build_args *args, struct arena *a, struct build_request *rq)
{
	const char **list = arena_array(a, args->build_args.len + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < args->build_args.len; i++) {
		const char *text = args->build_args.ptr[i];
		if (strchr(text, '='))
			list[n++] = text;
		else if (getenv(text))
			list[n++] = arena_printf(a, "%s=%s", text, getenv(text));
	}
	rq->build_args = list;
}

static struct err *check_pairs(const struct strvec *v, const char *option)
{
	for (size_t i = 0; i < v->len; i++)
		if (!strchr(v->ptr[i], '=') || v->ptr[i][0] == '=')
			return err_new(ERR_USAGE, "--%s takes KEY=VALUE, not \"%s\"", option, v->ptr[i]);
	return NULL;
}

static struct err *parse_choices(const struct build_args *args, struct build_request *rq)
{
	if (!args->network || cstr_eq(args->network, "host") || cstr_eq(args->network, "default"))
		rq->network = NETWORK_HOST;
	else if (cstr_eq(args->network, "none"))
		rq->network = NETWORK_NONE;
	else if (cstr_eq(args->network, "isolated"))
		return err_hint(err_new(ERR_USAGE, "--network isolated is not offered yet"),
			"use host (the default) or none");
	else
		return err_new(ERR_USAGE, "--network is host or none, not \"%s\"", args->network);
	if (!args->compression || cstr_eq(args->compression, "gzip"))
		rq->codec = CODEC_GZIP;
	else if (cstr_eq(args->compression, "zstd"))
		rq->codec = CODEC_ZSTD;
	else
		return err_new(ERR_USAGE, "--compression is gzip or zstd, not \"%s\"", args->compression);
	if (args->pull && args->never_pull)
		return err_new(ERR_USAGE, "--pull and --offline exclude each other");
	rq->pull = args->pull ? PULL_ALWAYS : args->never_pull ? PULL_NEVER : PULL_MISSING;
	return NULL;
}

struct err *build_allow_parse(const struct strvec *values, bool *insecure)
{
	*insecure = false;
	for (size_t i = 0; i < values->len; i++) {
		if (!cstr_eq(values->ptr[i], ALLOW_INSECURE))
			return err_new(
				ERR_USAGE, "--allow takes " ALLOW_INSECURE ", not \"%s\"", values->ptr[i]);
		*insecure = true;
	}
	return NULL;
}

static struct err *read_lock_file(const struct build_args *args, struct arena *a, struct build_request *rq)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON json_t *o = NULL;

	if (!args->locked)
		return NULL;
	TRY(file_read(AT_FDCWD, args->locked, LOCK_FILE_MAX, &text));
	TRY(json_parse(buf_str(&text), args->locked, &o));
	/* a metadata file holds the pins under a key, a lock file is the list itself */
	const json_t *pins = json_is_object(o) ? json_object_get(o, "cooper.pins") : o;
	if (!json_is_array(pins))
		return err_hint(err_new(ERR_INVALID, "%s holds no pins", args->locked),
			"--locked takes a file that --metadata-file wrote");
	AUTO_FREE char *dump = json_dump(pins, false);
	rq->locked = arena_strdup(a, dump);
	return NULL;
}

struct err *build_args_apply(const struct build_args *args, struct arena *a, struct build_request *rq)
{
	struct secret_source *secrets = arena_array(a, args->secrets.len + 1, sizeof(*secrets));
	struct ssh_source *ssh = arena_array(a, args->ssh.len + 1, sizeof(*ssh));

	for (size_t i = 0; i < args->secrets.len; i++)
		TRY(parse_secret(args->secrets.ptr[i], a, &secrets[i]));
	for (size_t i = 0; i < args->ssh.len; i++)
		TRY(parse_ssh(args->ssh.ptr[i], a, &ssh[i]));
	TRY(check_pairs(&args->labels, "label"));
	TRY(check_pairs(&args->annotations, "annotation"));
	TRY(parse_contexts(args, a, rq));
	parse_build_args(args, a, rq);
	TRY(parse_choices(args, rq));
	TRY(build_allow_parse(&args->allow, &rq->allow_insecure));
	TRY(read_lock_file(args, a, rq));
	rq->secrets = secrets;
	rq->secret_count = args->secrets.len;
	rq->ssh = ssh;
	rq->ssh_count = args->ssh.len;
	rq->labels = strvec_list(&args->labels);
	rq->annotations = strvec_list(&args->annotations);
	rq->no_cache_stages = strvec_list(&args->no_cache_filter);
	rq->no_cache = args->no_cache;
	rq->target = args->target;
	rq->platform = args->platform;
	rq->jobs = (unsigned)args->jobs;
	rq->shell_on_failure = args->shell_on_failure;
	return NULL;
}

static struct err *output_kind(const char *type, bool tar, struct parsed_output *out)
{
	static const char *const names[] = {
		"local", "tar", "oci", "docker", "image", "registry", "store", NULL};

	if (cstr_eq(type, "local"))
		out->out.kind = OUTPUT_DIR;
	else if (cstr_eq(type, "tar"))
		out->out.kind = OUTPUT_TAR;
	else if (cstr_eq(type, "oci"))
		out->out.kind = tar ? OUTPUT_OCI_ARCHIVE : OUTPUT_OCI_LAYOUT;
	else if (cstr_eq(type, "docker"))
		out->out.kind = OUTPUT_DOCKER_ARCHIVE;
	else if (cstr_eq(type, "image") || cstr_eq(type, "store"))
		out->out.kind = OUTPUT_STORE;
	else if (cstr_eq(type, "registry")) {
		out->out.kind = OUTPUT_STORE;
		out->push = true;
	} else {
		const char *near = str_suggest(type, names);
		struct err *e = err_new(ERR_USAGE, "--output has no type \"%s\"", type);
		return err_hint(e,
			near ? "did you mean %s?" : "it takes local, tar, oci, docker, image or registry",
			near);
	}
	return NULL;
}

static bool truth(const char *value)
{
	return !value || cstr_eq(value, "true") || cstr_eq(value, "1");
}

struct err *build_output_parse(const char *text, struct arena *a, struct parsed_output *out)
{
	struct vec pairs = split_pairs(text, a);
	const char *type = NULL, *dest = NULL;
	bool tar = true;
	struct err *e = NULL;

	if (!strchr(text, '=')) {
		vec_fini(&pairs);
		out->out = (struct build_output){cstr_eq(text, "-") ? OUTPUT_TAR : OUTPUT_DIR, text};
		return NULL;
	}
	for (size_t i = 0; i < pairs.len && !e; i++) {
		const struct pair *p = vec_at(&pairs, i);
		if (cstr_eq(p->key, "type"))
			type = p->value;
		else if (cstr_eq(p->key, "dest"))
			dest = p->value;
		else if (cstr_eq(p->key, "tar"))
			tar = truth(p->value);
		else if (cstr_eq(p->key, "push"))
			out->push = truth(p->value);
		else if (cstr_eq(p->key, "name"))
			out->name = p->value;
		else
			e = unknown_key("output", p->key, "type=, dest=, tar=, name= and push=");
	}
	vec_fini(&pairs);
	if (e)
		return e;
	if (!type)
		return err_new(ERR_USAGE, "--output \"%s\" has no type=", text);
	TRY(output_kind(type, tar, out));
	bool needs_dest = out->out.kind != OUTPUT_STORE;
	if (needs_dest && !dest)
		return err_new(ERR_USAGE, "--output type=%s needs dest=PATH", type);
	out->out.path = dest;
	return NULL;
}
