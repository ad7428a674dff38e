/* SPDX-License-Identifier: Apache-2.0 */
/* Values of secrets: read when they are needed, handed to steps by the session, kept nowhere else. */
#include "base/mem.h"
#include "dagger/dagger_schema.h"
#include "sys/file.h"
#include "sys/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX (512u * 1024u)

static const char *const schemes[] = {"env", "file", "cmd"};

static const char *uri_rest(const char *uri, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(uri, scheme, len) == 0 && cstr_starts(uri + len, "://") ? uri + len + 3 : NULL;
}

static struct err *check_uri(const char *uri)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (uri_rest(uri, schemes[i]))
			return NULL;
	AUTO_FREE char *scheme = mem_strndup(uri, strcspn(uri, ":"));
	return err_hint(
		err_new(ERR_UNSUPPORTED, "secrets of the kind \"%s\" are not supported by cooper", scheme),
		"use env://NAME, file://PATH or cmd://COMMAND");
}

static struct err *run_command(struct call *c, const char *command, struct buf *out)
{
	const char *const argv[] = {"sh", "-c", command, NULL};
	const struct process_request rq = {.argv = argv, .max_output = SECRET_MAX, .cancel = c->cancel};
	struct err *e = process_run(&rq, out, NULL);

	return e ? err_wrap(e, "the command of the secret") : NULL;
}

static struct err *read_uri(struct call *c, const char *uri, struct buf *out)
{
	const char *env = uri_rest(uri, "env"), *file = uri_rest(uri, "file"), *cmd = uri_rest(uri, "cmd");

	if (env) {
		const char *value = getenv(env);
		if (!value)
			return err_new(ERR_NOT_FOUND, "secret %s: there is no such variable", uri);
		buf_adds(out, value);
		return NULL;
	}
	if (file) {
		struct err *e = file_read(AT_FDCWD, host_path(c, file), SECRET_MAX, out);
		return e ? err_wrap(e, "secret %s", uri) : NULL;
	}
	return run_command(c, cmd, out);
}

struct err *secret_text(struct call *c, const struct secret *s, struct buf *out)
{
	bool found;

	if (s->uri)
		return read_uri(c, s->uri, out);
	TRY(session_secret(c->d->session, s->id, out, &found));
	if (!found)
		return err_hint(
			err_new(ERR_NOT_FOUND, "the secret \"%s\" has no value in this session", s->name),
			"call setSecret again: values are not kept");
	return NULL;
}

struct err *secret_of_uri(struct call *c, const char *uri, const char *cache_key, struct secret **out)
{
	struct secret *s = OBJECT_NEW(c, "Secret", secret);

	TRY(check_uri(uri));
	s->uri = keep_text(c->d, uri);
	if (cache_key && *cache_key)
		s->id = keep_text(c->d, arena_printf(c->arena, "key:%s", cache_key));
	*out = s;
	return NULL;
}

/* The value is read anew for each step that is made, so that a step gets the one that it counts. */
static struct err *ready_from_uri(struct call *c, const struct secret *s, struct str value, const char **id)
{
	AUTO_FREE char *hash = NULL;

	*id = s->id;
	if (!s->id) {
		TRY(session_hash_secret(c->d->session, value, &hash));
		*id = arena_printf(c->arena, "value:%s", hash);
	}
	session_set_secret(c->d->session, *id, value);
	return NULL;
}

struct err *secret_ready(struct call *c, const struct secret *s, const char **id)
{
	AUTO_BUF struct buf value = {0};

	*id = s->id;
	struct err *e = secret_text(c, s, &value);
	if (!e && s->uri)
		e = ready_from_uri(c, s, buf_str(&value), id);
	if (value.ptr)
		explicit_bzero(value.ptr, value.cap);
	return e;
}

static const struct secret *secret_self(struct call *c)
{
	return (const struct secret *)(const void *)c->self;
}

struct err *resolve_secret_name(struct call *c)
{
	const struct secret *s = secret_self(c);

	gql_out_string(c->out, str_c(s->name ? s->name : ""));
	return NULL;
}

struct err *resolve_secret_uri(struct call *c)
{
	const struct secret *s = secret_self(c);

	gql_out_string(c->out, str_c(s->uri ? s->uri : ""));
	return NULL;
}

struct err *resolve_secret_plaintext(struct call *c)
{
	AUTO_BUF struct buf value = {0};

	TRY(secret_text(c, secret_self(c), &value));
	gql_out_take_string(c->out, &value);
	return NULL;
}
