/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "engine/settings_internal.h"
#include "oci/reference.h"

#include <string.h>

static struct err *wrong(const char *path, const struct yaml_node *at, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u:%u: %s", path, at->line, at->column, what);
}

/* Absent leaves *out alone; zero is a word for 0, NULL: 0 is not offered. */
static struct err *get_duration(
	const struct yaml_node *map, const char *key, const char *path, const char *zero, int64_t *out)
{
	const char *text = NULL;
	TRY(yaml_get_text(map, key, path, &text));
	if (!text)
		return NULL;
	if (zero && cstr_eq(text, zero)) {
		*out = 0;
		return NULL;
	}
	int64_t span = 0;
	TRY(settings_duration(text, path, yaml_get(map, key), &span));
	if (span == 0 && zero)
		return err_new(ERR_INVALID, "%s:%u:%u: a duration, or %s", path, yaml_get(map, key)->line,
			yaml_get(map, key)->column, zero);
	if (span == 0)
		return wrong(path, yaml_get(map, key), "it must be more than 0");
	*out = span;
	return NULL;
}

static struct err *parse_quotas(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	if (!map || map->kind == YAML_EMPTY)
		return NULL;
	if (map->kind != YAML_MAP)
		return wrong(path, map, "quotas is a map from namespace to size");
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_node *key = map->keys[i];
		uint64_t bytes = 0;
		bool named = repository_valid(str_c(key->text)) && !strchr(key->text, '/');
		if (!named && !cstr_eq(key->text, "*"))
			return wrong(path, key,
				"a namespace is the first part of a repository's name, without a slash; or "
				"*, "
				"for all others");
		TRY(yaml_get_size(map, key->text, path, &bytes));
		struct registry_quota *q = vec_push(&p->quotas);
		*q = (struct registry_quota){.namespace_ = mem_strdup(key->text), .bytes = bytes};
	}
	return NULL;
}

/* Of a key without a value, too. */
static const struct yaml_node *key_of(const struct yaml_node *map, const char *name)
{
	for (size_t i = 0; i < map->count; i++)
		if (cstr_eq(map->keys[i]->text, name))
			return map->keys[i];
	return NULL;
}

static struct err *parse_rule(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {
		"repositories", "keep-newest", "keep-younger", "keep-pulled", "keep-tags", NULL};
	TRY(yaml_check_keys(map, path, keys));
	struct retention_rule *r = vec_push(&p->retention);
	TRY(yaml_get_texts(map, "repositories", path, &r->repositories));
	TRY(yaml_get_texts(map, "keep-tags", path, &r->keep_tags));
	TRY(yaml_get_size(map, "keep-newest", path, &r->keep_newest));
	TRY(get_duration(map, "keep-younger", path, NULL, &r->keep_younger));
	TRY(get_duration(map, "keep-pulled", path, NULL, &r->keep_pulled));
	/* A slip of the pen must not empty a registry. */
	const struct yaml_node *said = key_of(map, "repositories");
	if (said && !r->repositories.len)
		return wrong(path, said, "an empty list of repositories: leave the key out for all");
	if (!r->keep_newest && !r->keep_younger && !r->keep_pulled)
		return wrong(path, map, "a rule of retention needs keep-newest, keep-younger or keep-pulled");
	return NULL;
}

static struct err *parse_retention(struct registry_policy *p, const struct yaml_node *list, const char *path)
{
	if (!list || list->kind == YAML_EMPTY)
		return NULL;
	if (list->kind != YAML_LIST)
		return wrong(path, list, "retention is a list of rules");
	for (size_t i = 0; i < list->count; i++)
		TRY(parse_rule(p, list->items[i], path));
	return NULL;
}

/* A port's colon is none of the characters of a repository's name. */
static void default_prefix(struct registry_cache *c)
{
	c->prefix = mem_strdup(c->upstream);
	for (char *at = c->prefix; *at; at++)
		*at = *at == ':' ? '-' : *at;
}

/* Neither may be within the other: each repository has one place where it comes from. */
static struct err *check_prefix(struct registry_policy *p, const struct registry_cache *c,
	const struct yaml_node *at, const char *path)
{
	if (!repository_valid(str_c(c->prefix)))
		return err_hint(wrong(path, at, "the prefix is no name of a repository"),
			"give it a prefix of a-z, 0-9, '.', '_', '-' and '/'");
	for (size_t i = 0; i + 1 < p->caches.len; i++) {
		const struct registry_cache *other = vec_at(&p->caches, i);
		if (path_below(c->prefix, other->prefix) || path_below(other->prefix, c->prefix))
			return wrong(path, at, "another cache has this prefix, or one above or below it");
		if (cstr_eq(c->upstream, other->upstream))
			return wrong(path, at, "another cache is of this upstream");
		if (c->everything_else && other->everything_else)
			return wrong(path, at, "only one cache can be the default");
	}
	return NULL;
}

static struct err *parse_upstream(
	struct registry_cache *c, const struct yaml_node *map, const char *path, const char *text)
{
	const struct yaml_node *at = yaml_get(map, "upstream");
	AUTO(reference_fini) struct reference ref = {0};

	if (!text)
		return wrong(path, map, "a cache needs an upstream");
	AUTO_FREE char *probe = mem_printf("%s/x/y", text);
	struct err *e = reference_parse(probe, false, &ref);
	bool good = !e && !ref.tag && cstr_eq(ref.repository, "x/y");
	err_free(e);
	if (!good)
		return err_hint(wrong(path, at, "the upstream is no registry"),
			"name its host, as in docker.io or registry.example:5000, without https:// or a "
			"path");
	c->upstream = mem_strdup(policy_upstream_name(ref.registry));
	return NULL;
}

static struct err *parse_cache(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {
		"upstream", "prefix", "repositories", "tag-ttl", "keep", "size", "timeout", "default", NULL};
	const char *upstream = NULL, *prefix = NULL;

	TRY(yaml_check_keys(map, path, keys));
	struct registry_cache *c = vec_push(&p->caches);
	*c = (struct registry_cache){
		.tag_ttl = CACHE_DEFAULT_TTL, .keep = CACHE_DEFAULT_KEEP, .timeout = CACHE_DEFAULT_TIMEOUT};
	TRY(yaml_get_text(map, "upstream", path, &upstream));
	TRY(parse_upstream(c, map, path, upstream));
	TRY(yaml_get_text(map, "prefix", path, &prefix));
	if (prefix)
		c->prefix = mem_strdup(prefix);
	else
		default_prefix(c);
	TRY(yaml_get_texts(map, "repositories", path, &c->repositories));
	TRY(get_duration(map, "tag-ttl", path, "off", &c->tag_ttl));
	TRY(get_duration(map, "keep", path, "forever", &c->keep));
	TRY(yaml_get_size(map, "size", path, &c->size));
	TRY(get_duration(map, "timeout", path, NULL, &c->timeout));
	TRY(yaml_get_bool(map, "default", path, &c->everything_else));
	const struct yaml_node *at = yaml_get(map, prefix ? "prefix" : "upstream");
	return check_prefix(p, c, at, path);
}

static struct err *parse_caches(struct registry_policy *p, const struct yaml_node *list, const char *path)
{
	if (!list || list->kind == YAML_EMPTY)
		return NULL;
	if (list->kind != YAML_LIST)
		return wrong(path, list, "cache is a list of upstreams");
	for (size_t i = 0; i < list->count; i++)
		TRY(parse_cache(p, list->items[i], path));
	return NULL;
}

struct err *settings_parse_registry(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {"immutable-tags", "sparse", "grace", "gc", "scrub", "untagged",
		"quotas", "retention", "pinned-in", "cache", NULL};
	TRY(yaml_check_keys(map, path, keys));
	/* What a later file says of a list or map takes the place of what an earlier one said. */
	if (yaml_get(map, "immutable-tags"))
		strvec_clear(&p->immutable);
	TRY(yaml_get_texts(map, "immutable-tags", path, &p->immutable));
	TRY(yaml_get_bool(map, "sparse", path, &p->sparse));
	TRY(get_duration(map, "grace", path, NULL, &p->grace));
	TRY(get_duration(map, "gc", path, "off", &p->gc_every));
	TRY(get_duration(map, "scrub", path, "off", &p->scrub_every));
	TRY(get_duration(map, "untagged", path, NULL, &p->untagged));
	if (yaml_get(map, "pinned-in"))
		strvec_clear(&p->pinned_in);
	TRY(yaml_get_texts(map, "pinned-in", path, &p->pinned_in));
	for (size_t i = 0; i < p->pinned_in.len; i++)
		if (p->pinned_in.ptr[i][0] != '/')
			return wrong(path, yaml_get(map, "pinned-in"), "pinned-in takes absolute paths");
	if (yaml_get(map, "quotas"))
		registry_policy_forget_quotas(p);
	TRY(parse_quotas(p, yaml_get(map, "quotas"), path));
	if (yaml_get(map, "retention"))
		registry_policy_forget_retention(p);
	TRY(parse_retention(p, yaml_get(map, "retention"), path));
	if (yaml_get(map, "cache"))
		registry_policy_forget_caches(p);
	return parse_caches(p, yaml_get(map, "cache"), path);
}
