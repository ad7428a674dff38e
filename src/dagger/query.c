/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "dagger/dagger_schema.h"
#include "oci/reference.h"

#include <string.h>

/* What clients take the engine for: the API version they were made with. */
#define API_VERSION "v0.21.9"

struct err *resolve_query_version(struct call *c)
{
	gql_out_string(c->out, STR(API_VERSION));
	return NULL;
}

static const char *host_platform(char text[128])
{
	struct platform p;

	platform_host(&p);
	return platform_text(&p, text);
}

struct err *resolve_query_default_platform(struct call *c)
{
	char text[128];

	gql_out_string(c->out, str_c(host_platform(text)));
	return NULL;
}

/* Loaders have one argument, too. */
struct err *resolve_query_node(struct call *c)
{
	struct object *o = NULL;
	const char *field = gql_field_name(c->field);
	AUTO_FREE char *type = NULL;

	if (cstr_starts(field, "load") && !cstr_eq(field, "loadSyncerFromID") &&
		!cstr_eq(field, "loadExportableFromID"))
		type = mem_strndup(field + 4, str_c(field).len - 4 - 6);
	TRY(object_load(c->d, arg_text(c, 0), type, c->cancel, (void **)&o));
	call_give(c, o);
	return NULL;
}

static struct err *known_platform(const char *text, struct platform *out)
{
	static const char *const archs[] = {
		"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"};

	TRY(platform_parse(text, out));
	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		if (cstr_eq(out->os, "linux") && cstr_eq(out->arch, archs[i]))
			return NULL;
	return err_hint(err_new(ERR_INVALID, "there is no platform \"%s\"", text),
		"one is linux/amd64 or linux/arm64");
}

struct err *resolve_query_container(struct call *c)
{
	char text[128];
	const char *asked = arg_text(c, ARG_Query_container_platform);
	struct platform p;

	if (asked)
		TRY(known_platform(asked, &p));
	call_give(c, container_new(c, asked ? platform_text(&p, text) : host_platform(text)));
	return NULL;
}

struct err *resolve_query_directory(struct call *c)
{
	call_give(c, directory_new(c, NULL, "/"));
	return NULL;
}

struct err *resolve_query_file(struct call *c)
{
	const char *path = NULL;
	struct node *n = NULL;

	TRY(path_inside(c->d, "/", arg_text(c, ARG_Query_file_name), &path));
	const struct file_action a = {.kind = FILE_MKFILE,
		.dest = path,
		.data = arg_str(c, ARG_Query_file_contents),
		.mode = mode_text(c, arg_int(c, ARG_Query_file_permissions, 0644))};
	TRY(node_actions(c->d, NULL, &a, 1, arena_printf(c->arena, "write %s", path), &n));
	call_give(c, file_new(c, n, path));
	return NULL;
}

/* "a.tgz" of "https://host/x/a.tgz?y"; "index" if there is none. */
static const char *url_file_name(struct call *c, const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = strchr(host ? host + 3 : url, '/');
	size_t len = path ? strcspn(path, "?#") : 0;

	while (len && path[len - 1] == '/')
		len--;
	size_t at = len;
	while (at && path[at - 1] != '/')
		at--;
	return len > at ? arena_strndup(c->arena, path + at, len - at) : "index";
}

struct err *resolve_query_http(struct call *c)
{
	const char *url = arg_text(c, ARG_Query_http_url), *name = arg_text(c, ARG_Query_http_name);
	const char *auth_id = NULL;
	struct secret *auth = NULL;
	struct service *host = NULL;
	struct node *n = NULL;

	TRY(arg_object(c, ARG_Query_http_experimentalServiceHost, "Service", (void **)&host));
	TRY(arg_object(c, ARG_Query_http_authHeader, "Secret", (void **)&auth));
	if (auth)
		TRY(secret_ready(c, auth, &auth_id));
	if (!name || !*name)
		name = url_file_name(c, url);
	const struct op op = {.kind = OP_HTTP,
		.http = {.url = url,
			.filename = name,
			.checksum = arg_text(c, ARG_Query_http_checksum),
			.mode = (uint32_t)arg_int(c, ARG_Query_http_permissions, 0600),
			.server_time = true,
			.auth_secret = auth_id}};
	const struct node_label label = {.name = arena_printf(c->arena, "http %s", url)};
	TRY(session_node(c->d->session, &op, NULL, 0, &label, &n));
	if (host) {
		services_bind(c->d, n, &host, 1);
		TRY(services_for(c, n));
	}
	TRY(session_pin(c->d->session, n, c->cancel));
	call_give(c, file_new(c, n, path_at(c->d, "/", name)));
	return NULL;
}

struct err *resolve_query_cache_volume(struct call *c)
{
	struct cache_volume *v = OBJECT_NEW(c, "CacheVolume", cache_volume);
	const char *sharing = arg_text(c, ARG_Query_cacheVolume_sharing);

	TRY(arg_object(c, ARG_Query_cacheVolume_source, "Directory", (void **)&v->source));
	v->key = keep_text(c->d, arg_text(c, ARG_Query_cacheVolume_key));
	v->owner = keep_text(c->d, arg_text(c, ARG_Query_cacheVolume_owner));
	v->sharing = cstr_eq(sharing, "SHARED") || !sharing ? CACHE_SHARED : CACHE_LOCKED;
	if (!*v->key)
		return err_new(ERR_INVALID, "a cache volume needs a key");
	call_give(c, v);
	return NULL;
}

struct err *resolve_query_host(struct call *c)
{
	call_give(c, OBJECT_NEW(c, "Host", object));
	return NULL;
}

struct err *resolve_query_engine(struct call *c)
{
	call_give(c, OBJECT_NEW(c, "Engine", object));
	return NULL;
}

struct err *resolve_engine_local_cache(struct call *c)
{
	call_give(c, OBJECT_NEW(c, "EngineCache", object));
	return NULL;
}

struct err *resolve_engine_cache_prune(struct call *c)
{
	TRY(session_gc(c->d->session));
	gql_out_null(c->out);
	return NULL;
}

/* ---- secrets ---- */

struct err *resolve_query_set_secret(struct call *c)
{
	struct secret *s = OBJECT_NEW(c, "Secret", secret);
	struct str value = arg_str(c, ARG_Query_setSecret_plaintext);

	if (value.len > 128000)
		return err_new(ERR_INVALID, "the secret has %zu bytes; 128000 are possible", value.len);
	s->name = keep_text(c->d, arg_text(c, ARG_Query_setSecret_name));
	s->id = keep_text(c->d, arena_printf(c->arena, "set:%s", s->name));
	/* Made again from its id in another session, it has no value yet. */
	if (arg_given(c, ARG_Query_setSecret_plaintext))
		session_set_secret(c->d->session, s->id, value);
	call_give(c, s);
	return NULL;
}

struct err *resolve_query_secret(struct call *c)
{
	struct secret *s = NULL;

	TRY(secret_of_uri(c, arg_text(c, ARG_Query_secret_uri), arg_text(c, ARG_Query_secret_cacheKey), &s));
	call_give(c, s);
	return NULL;
}

/* ---- addresses ---- */

struct err *resolve_query_address(struct call *c)
{
	struct text *t = OBJECT_NEW(c, "Address", text);

	t->text = keep_text(c->d, arg_text(c, ARG_Query_address_value));
	call_give(c, t);
	return NULL;
}
