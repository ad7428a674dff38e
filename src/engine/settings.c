/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_MAX (1u << 20)

/* What package clients read to find their registries: harmless to hand on, useless without. */
static const char *const default_pass_env[] = {"GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GOSUMDB",
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY",
	"npm_config_registry", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "BUNDLE_MIRROR__ALL", NULL};

static const char *const proxy_names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
	"FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", NULL};

static void take_env(struct strvec *out, const char *const *names)
{
	for (size_t i = 0; names && names[i]; i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			envlist_set(out, names[i], value);
	}
}

struct settings *settings_new(void)
{
	struct settings *s = mem_new(struct settings);

	s->arena = arena_new();
	s->hosts = VEC_OF(struct settings_host);
	s->ca = "auto";
	registry_policy_init(&s->registry);
	take_env(&s->env, default_pass_env);
	take_env(&s->proxy_env, proxy_names);
	return s;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->hosts.len; i++)
		strvec_fini(&((struct settings_host *)vec_at(&s->hosts, i))->mirrors);
	vec_fini(&s->hosts);
	strvec_fini(&s->env);
	strvec_fini(&s->proxy_env);
	strvec_fini(&s->nameservers);
	strvec_fini(&s->search);
	strvec_fini(&s->hosts_file);
	registry_policy_fini(&s->registry);
	arena_free(s->arena);
	mem_freep(&s);
}

void settings_freep(struct settings **s)
{
	settings_free(*s);
	*s = NULL;
}

/* "14d", "36h", "90m", "30s". */
struct err *settings_duration(const char *text, const char *path, const struct yaml_node *at, int64_t *out)
{
	if (duration_parse_span(text, out))
		return NULL;
	return err_new(ERR_INVALID, "%s:%u:%u: \"%s\" is not a duration like 14d, 36h or 90m", path, at->line,
		at->column, text);
}

static struct err *parse_store(struct settings *s, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {"home", "limit", "keep", NULL};
	const char *keep = NULL;

	TRY(yaml_check_keys(map, path, keys));
	TRY(yaml_get_text(map, "home", path, &s->home));
	TRY(yaml_get_size(map, "limit", path, &s->store_limit));
	TRY(yaml_get_text(map, "keep", path, &keep));
	if (keep)
		TRY(settings_duration(keep, path, yaml_get(map, "keep"), &s->store_keep));
	s->home = arena_strdup(s->arena, s->home);
	return NULL;
}

static struct err *parse_host(
	struct settings *s, const char *host, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {"mirrors", "ca", "cert", "key", "plain-http", "insecure", NULL};
	struct settings_host *h = NULL;

	for (size_t i = 0; i < s->hosts.len && !h; i++) {
		struct settings_host *known = vec_at(&s->hosts, i);
		if (cstr_eq(known->host, host))
			h = known;
	}
	if (!h)
		h = vec_push(&s->hosts);
	h->host = arena_strdup(s->arena, host);
	TRY(yaml_check_keys(map, path, keys));
	strvec_clear(&h->mirrors);
	TRY(yaml_get_texts(map, "mirrors", path, &h->mirrors));
	TRY(yaml_get_text(map, "ca", path, &h->ca_file));
	TRY(yaml_get_text(map, "cert", path, &h->client_cert));
	TRY(yaml_get_text(map, "key", path, &h->client_key));
	TRY(yaml_get_bool(map, "plain-http", path, &h->plain_http));
	TRY(yaml_get_bool(map, "insecure", path, &h->insecure));
	h->ca_file = arena_strdup(s->arena, h->ca_file);
	h->client_cert = arena_strdup(s->arena, h->client_cert);
	h->client_key = arena_strdup(s->arena, h->client_key);
	return NULL;
}

/* A map of scalars as "key=value". */
static struct err *parse_pairs(const struct yaml_node *map, const char *path, struct strvec *out)
{
	if (!map || map->kind == YAML_EMPTY)
		return NULL;
	if (map->kind != YAML_MAP)
		return err_new(
			ERR_INVALID, "%s:%u:%u: expected names with values", path, map->line, map->column);
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_node *value = map->items[i];
		if (value->kind != YAML_SCALAR)
			return err_new(ERR_INVALID, "%s:%u:%u: the value of \"%s\" is not text", path,
				value->line, value->column, map->keys[i]->text);
		envlist_set(out, map->keys[i]->text, value->text);
	}
	return NULL;
}

static struct err *parse_steps(struct settings *s, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {
		"ca", "env", "pass-env", "nameservers", "search", "hosts", "jobs", NULL};
	AUTO_STRVEC struct strvec pass = {0};
	uint64_t jobs = s->jobs;

	TRY(yaml_check_keys(map, path, keys));
	TRY(yaml_get_text(map, "ca", path, &s->ca));
	s->ca = arena_strdup(s->arena, s->ca);
	if (yaml_get(map, "pass-env")) {
		strvec_clear(&s->env);
		TRY(yaml_get_texts(map, "pass-env", path, &pass));
		take_env(&s->env, strvec_list(&pass));
	}
	TRY(parse_pairs(yaml_get(map, "env"), path, &s->env));
	TRY(parse_pairs(yaml_get(map, "hosts"), path, &s->hosts_file));
	TRY(yaml_get_texts(map, "nameservers", path, &s->nameservers));
	TRY(yaml_get_texts(map, "search", path, &s->search));
	TRY(yaml_get_size(map, "jobs", path, &jobs));
	s->jobs = jobs > 1024 ? 1024 : (unsigned)jobs;
	return NULL;
}

static struct err *parse_root(struct settings *s, const struct yaml_node *root, const char *path)
{
	static const char *const keys[] = {"store", "registries", "registry", "credentials", "steps", NULL};
	const struct yaml_node *hosts = yaml_get(root, "registries");

	TRY(yaml_check_keys(root, path, keys));
	if (yaml_get(root, "store"))
		TRY(parse_store(s, yaml_get(root, "store"), path));
	if (yaml_get(root, "steps"))
		TRY(parse_steps(s, yaml_get(root, "steps"), path));
	if (yaml_get(root, "registry"))
		TRY(settings_parse_registry(&s->registry, yaml_get(root, "registry"), path));
	TRY(yaml_get_text(root, "credentials", path, &s->auth_file));
	s->auth_file = arena_strdup(s->arena, s->auth_file);
	if (!hosts || hosts->kind == YAML_EMPTY)
		return NULL;
	if (hosts->kind != YAML_MAP)
		return err_new(ERR_INVALID, "%s:%u:%u: registries is a map from host to settings", path,
			hosts->line, hosts->column);
	for (size_t i = 0; i < hosts->count; i++)
		TRY(parse_host(s, hosts->keys[i]->text, hosts->items[i], path));
	return NULL;
}

/* One document laid over what is there. */
static struct err *settings_parse(const char *text, const char *path, struct settings *s)
{
	AUTO(arena_freep) struct arena *a = arena_new();
	struct yaml_node *root = NULL;

	TRY(yaml_parse(a, str_c(text), path, &root));
	return parse_root(s, root, path);
}

static struct err *load_file(struct settings *s, const char *path, bool must_exist)
{
	AUTO_BUF struct buf text = {0};
	bool there = true;

	if (!must_exist)
		TRY(file_exists(AT_FDCWD, path, &there));
	if (!there)
		return NULL;
	TRY(file_read(AT_FDCWD, path, CONFIG_FILE_MAX, &text));
	return settings_parse(buf_cstr(&text), path, s);
}

static struct err *load_usual(struct settings *s)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	AUTO_FREE char *own = NULL;

	TRY(load_file(s, "/etc/cooper/config.yaml", false));
	if (xdg && *xdg == '/')
		own = mem_printf("%s/cooper/config.yaml", xdg);
	else if (home && *home == '/')
		own = mem_printf("%s/.config/cooper/config.yaml", home);
	return own ? load_file(s, own, false) : NULL;
}

struct err *settings_load(const char *config_file, struct settings **out)
{
	AUTO(settings_freep) struct settings *s = settings_new();

	if (config_file)
		TRY(load_file(s, config_file, true));
	else
		TRY(load_usual(s));
	*out = steal(&s);
	return NULL;
}

/* Where distributions keep certificates an administrator added. */
static bool has_added_certificates(void)
{
	static const char *const places[] = {"/usr/local/share/ca-certificates",
		"/etc/pki/ca-trust/source/anchors", "/etc/ca-certificates/trust-source/anchors"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		AUTO_STRVEC struct strvec names = {0};
		struct err *e = dir_list(AT_FDCWD, places[i], &names);
		if (e)
			err_ignore(e, "most of these places do not exist");
		else if (names.len)
			return true;
	}
	return false;
}

const char *settings_ca_bundle(const struct settings *s)
{
	static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
	const char *env = getenv("SSL_CERT_FILE");
	bool there = false;

	if (cstr_eq(s->ca, "none"))
		return NULL;
	if (!cstr_eq(s->ca, "auto"))
		return s->ca;
	if (env && *env == '/')
		return env;
	if (!has_added_certificates())
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
		struct err *e = file_exists(AT_FDCWD, bundles[i], &there);
		err_ignore(e, "the next place is tried");
		if (!e && there)
			return bundles[i];
	}
	return NULL;
}
