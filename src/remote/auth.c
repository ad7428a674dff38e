/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/auth.h"

#include "base/mem.h"
#include "base/path.h"
#include "remote/auth_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 20)

void credential_fini(struct credential *c)
{
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	mem_freep(&c->user);
	mem_freep(&c->password);
	mem_freep(&c->identity_token);
	mem_freep(&c->registry_token);
	mem_freep(&c->source);
	*c = (struct credential){0};
}

bool credential_found(const struct credential *c)
{
	return c->user || c->identity_token || c->registry_token;
}

/* ---- places ---- */

static void add_place(struct vec *out, char *path, bool legacy)
{
	struct auth_place *p = vec_push(out);
	p->path = path;
	p->legacy = legacy;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

void auth_places(const char *file, struct vec *out, size_t *fallback)
{
	*fallback = 0;
	const char *only = file ? file : env("REGISTRY_AUTH_FILE");
	if (only) {
		add_place(out, mem_strdup(only), false);
		return;
	}
	const char *home = env("HOME"), *runtime = env("XDG_RUNTIME_DIR"), *config = env("XDG_CONFIG_HOME"),
		   *docker = env("DOCKER_CONFIG");
	if (!home)
		home = "/";
	if (runtime)
		add_place(out, path_join(runtime, "containers/auth.json"), false);
	*fallback = out->len;
	add_place(out,
		config ? path_join(config, "containers/auth.json")
		       : path_join(home, ".config/containers/auth.json"),
		false);
	add_place(out, docker ? path_join(docker, "config.json") : path_join(home, ".docker/config.json"),
		false);
	add_place(out, path_join(home, ".dockercfg"), true);
}

void auth_places_fini(struct vec *places)
{
	for (size_t i = 0; i < places->len; i++)
		mem_freep(&((struct auth_place *)vec_at(places, i))->path);
	vec_fini(places);
}

struct err *auth_read(const struct auth_place *place, json_t **out)
{
	*out = NULL;
	bool there = false;
	TRY(file_exists(AT_FDCWD, place->path, &there));
	if (!there)
		return NULL;
	AUTO_BUF struct buf text = {0};
	TRY(file_read(AT_FDCWD, place->path, FILE_MAX, &text));
	if (!str_trim(buf_str(&text)).len)
		return NULL;
	AUTO_JSON json_t *doc = NULL;
	TRY(json_parse(buf_str(&text), place->path, &doc));
	if (!json_is_object(doc))
		return err_new(ERR_INVALID, "%s is not a JSON object", place->path);
	if (place->legacy) {
		json_t *wrapped = json_object();
		json_object_set_new(wrapped, "auths", steal(&doc));
		*out = wrapped;
		return NULL;
	}
	*out = steal(&doc);
	return NULL;
}

/* ---- keys ---- */

char *auth_key_name(const char *key)
{
	const char *const schemes[] = {"https://", "http://"};
	const char *const tails[] = {"/", "/v1", "/v2"};
	const char *const hub[] = {"index.docker.io", "registry-1.docker.io"};
	struct str s = str_c(key);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (str_starts(s, schemes[i]))
			s = str_skip(s, strlen(schemes[i]));
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		if (str_ends(s, tails[i]))
			s.len -= strlen(tails[i]);
	for (size_t i = 0; i < ARRAY_LEN(hub); i++)
		if (str_eq_c(s, hub[i]))
			s = STR("docker.io");
	return mem_strndup(s.ptr, s.len);
}

/* How well an entry's key fits: 0 not at all, else longer is better. */
static size_t key_fit(const char *key, const char *registry, const char *repository)
{
	AUTO_FREE char *name = auth_key_name(key);
	if (cstr_eq(name, registry))
		return strlen(name);
	if (!repository)
		return 0;
	AUTO_FREE char *whole = mem_printf("%s/%s", registry, repository);
	size_t n = strlen(name);
	return n > strlen(registry) && path_below(whole, name) ? n : 0;
}

struct err *auth_helper_name(const json_t *doc, const char *path, const char *registry, char **out)
{
	json_t *helpers = NULL;
	const char *name = NULL, *key;
	json_t *value;
	TRY(json_get_object(doc, "credHelpers", path, &helpers));
	json_object_foreach(helpers, key, value)
	{
		AUTO_FREE char *host = auth_key_name(key);
		if (cstr_eq(host, registry) && json_is_string(value))
			name = json_string_value(value);
	}
	if (!name)
		TRY(json_get_string(doc, "credsStore", path, &name));
	*out = mem_strdup(name ? name : "");
	return NULL;
}

/* ---- entries ---- */

static struct err *decode_auth(const char *text, const char *what, struct credential *out)
{
	AUTO_BUF struct buf plain = {0};
	struct err *e = base64_decode(str_c(text), &plain);
	if (e)
		return err_wrap(e, "%s: auth", what);
	/* Old docker padded the password with NULs. */
	while (plain.len && plain.ptr[plain.len - 1] == '\0')
		buf_truncate(&plain, plain.len - 1);
	ptrdiff_t colon = str_index(buf_str(&plain), ':');
	if (colon < 0 || memchr(plain.ptr, '\0', plain.len))
		return err_new(ERR_INVALID, "%s: auth is not user:password in base64", what);
	out->user = mem_strndup(plain.ptr, (size_t)colon);
	out->password = mem_strdup(plain.ptr + colon + 1);
	explicit_bzero(plain.ptr, plain.len);
	return NULL;
}

static struct err *read_entry(const json_t *entry, const char *what, struct credential *out)
{
	const char *auth = NULL, *user = NULL, *password = NULL, *identity = NULL, *ready = NULL;
	TRY(json_get_string(entry, "auth", what, &auth));
	TRY(json_get_string(entry, "username", what, &user));
	TRY(json_get_string(entry, "password", what, &password));
	TRY(json_get_string(entry, "identitytoken", what, &identity));
	TRY(json_get_string(entry, "registrytoken", what, &ready));
	if (auth && *auth) {
		TRY(decode_auth(auth, what, out));
	} else if (user && *user && password) {
		out->user = mem_strdup(user);
		out->password = mem_strdup(password);
	}
	for (const char *t = ready; t && *t; t++)
		if (*t <= ' ' || *t > '~')
			return err_new(ERR_INVALID, "%s: registrytoken cannot be sent in a header", what);
	out->identity_token = identity && *identity ? mem_strdup(identity) : NULL;
	out->registry_token = ready && *ready ? mem_strdup(ready) : NULL;
	return NULL;
}

static struct err *find_entry(const json_t *doc, const char *path, const char *registry,
	const char *repository, struct credential *out)
{
	json_t *auths = NULL, *value, *best = NULL;
	const char *key, *best_key = NULL;
	size_t best_fit = 0;
	TRY(json_get_object(doc, "auths", path, &auths));
	json_object_foreach(auths, key, value)
	{
		size_t fit = key_fit(key, registry, repository);
		/* An entry without anything in it is docker's mark that a helper holds it. */
		if (fit > best_fit && json_is_object(value) && json_object_size(value)) {
			best = value;
			best_key = key;
			best_fit = fit;
		}
	}
	if (!best)
		return NULL;
	AUTO_FREE char *what = mem_printf("%s: auths of %s", path, best_key);
	AUTO(credential_fini) struct credential c = {0};
	TRY(read_entry(best, what, &c));
	if (!credential_found(&c))
		return NULL;
	*out = c;
	c = (struct credential){0};
	out->source = mem_strdup(path);
	return NULL;
}

static struct err *look_in(const struct auth_place *place, const char *registry, const char *repository,
	const struct cancel *cancel, struct credential *out, struct strvec *looked)
{
	AUTO_JSON json_t *doc = NULL;
	strvec_push(looked, place->path);
	TRY(auth_read(place, &doc));
	if (!doc)
		return NULL;
	AUTO_FREE char *helper = NULL;
	TRY(auth_helper_name(doc, place->path, registry, &helper));
	if (*helper) {
		enum helper_verdict verdict;
		struct err *e = helper_get(helper, registry, cancel, out, &verdict);
		if (e)
			return err_wrap(
				e, "asking the credential helper '%s' named in %s", helper, place->path);
		if (verdict == HELPER_MISSING)
			strvec_pushf(looked, "docker-credential-%s (named there, not installed)", helper);
		if (verdict == HELPER_OK)
			return NULL;
	}
	return find_entry(doc, place->path, registry, repository, out);
}

struct err *auth_lookup(const char *file, const char *registry, const char *repository,
	const struct cancel *cancel, struct credential *out, struct strvec *looked)
{
	AUTO(auth_places_fini) struct vec places = VEC_OF(struct auth_place);
	size_t fallback;
	auth_places(file, &places, &fallback);
	for (size_t i = 0; i < places.len && !credential_found(out); i++) {
		struct err *e = look_in(vec_at(&places, i), registry, repository, cancel, out, looked);
		if (e)
			return err_wrap(e, "looking for credentials of %s", registry);
	}
	return NULL;
}
