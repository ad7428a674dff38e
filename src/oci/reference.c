/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/reference.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_REGISTRY "docker.io"
#define LEGACY_REGISTRY "index.docker.io"
#define OFFICIAL_PREFIX "library/"
#define REPOSITORY_MAX 255
#define TAG_MAX 128
/* Far above what the parts may hold together; keeps messages and scans short. */
#define REFERENCE_MAX 1024

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* A run between two alphanumerics: one '.', one or two '_', or any number of '-'. */
static bool separator_valid(struct str s)
{
	if (str_eq_c(s, ".") || str_eq_c(s, "_") || str_eq_c(s, "__"))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] != '-')
			return false;
	return s.len > 0;
}

static bool component_valid(struct str s)
{
	if (s.len == 0 || !is_lower_alnum(s.ptr[0]) || !is_lower_alnum(s.ptr[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len;) {
		size_t end = i;
		while (end < s.len && !is_lower_alnum(s.ptr[end]))
			end++;
		if (end > i && !separator_valid(str_n(s.ptr + i, end - i)))
			return false;
		i = end > i ? end : i + 1;
	}
	return true;
}

bool repository_valid(struct str s)
{
	if (s.len == 0 || s.len > REPOSITORY_MAX || s.ptr[s.len - 1] == '/')
		return false;
	struct str head;
	while (str_split(&s, '/', &head))
		if (!component_valid(head))
			return false;
	return true;
}

bool tag_valid(struct str s)
{
	if (s.len == 0 || s.len > TAG_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool inner = i > 0 && (c == '.' || c == '-');
		if (!is_alnum(c) && c != '_' && !inner)
			return false;
	}
	return true;
}

static bool port_valid(struct str s)
{
	uint64_t port;
	return s.len <= 5 && str_to_u64(s, &port) && port <= 65535;
}

static bool ipv6_valid(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		if (!hex && c != ':')
			return false;
	}
	return s.len > 0;
}

static bool host_name_valid(struct str s)
{
	if (s.len == 0 || s.ptr[s.len - 1] == '.')
		return false;
	struct str part;
	while (str_split(&s, '.', &part)) {
		if (part.len == 0 || !is_alnum(part.ptr[0]) || !is_alnum(part.ptr[part.len - 1]))
			return false;
		for (size_t i = 0; i < part.len; i++)
			if (!is_alnum(part.ptr[i]) && part.ptr[i] != '-')
				return false;
	}
	return true;
}

static bool registry_valid(struct str s)
{
	if (str_starts(s, "[")) {
		ptrdiff_t end = str_index(s, ']');
		if (end < 0 || !ipv6_valid(str_n(s.ptr + 1, (size_t)end - 1)))
			return false;
		struct str rest = str_skip(s, (size_t)end + 1);
		return rest.len == 0 || (rest.ptr[0] == ':' && port_valid(str_skip(rest, 1)));
	}
	ptrdiff_t colon = str_index(s, ':');
	if (colon < 0)
		return host_name_valid(s);
	return host_name_valid(str_n(s.ptr, (size_t)colon)) && port_valid(str_skip(s, (size_t)colon + 1));
}

/* Does the first component of a name with several name a registry? */
static bool names_registry(struct str first)
{
	if (str_eq_c(first, "localhost"))
		return true;
	for (size_t i = 0; i < first.len; i++)
		if (first.ptr[i] == '.' || first.ptr[i] == ':' || is_upper(first.ptr[i]))
			return true;
	return false;
}

struct parts {
	struct str registry, repository, tag, digest;
	bool official; /* library/ goes before repository */
};

static void split_parts(struct str text, struct parts *p)
{
	*p = (struct parts){.registry = STR(DEFAULT_REGISTRY)};
	ptrdiff_t slash = str_index(text, '/');
	if (slash > 0 && names_registry(str_n(text.ptr, (size_t)slash))) {
		p->registry = str_n(text.ptr, (size_t)slash);
		text = str_skip(text, (size_t)slash + 1);
		if (str_eq_c(p->registry, LEGACY_REGISTRY))
			p->registry = STR(DEFAULT_REGISTRY);
	}
	ptrdiff_t at = str_index(text, '@');
	if (at >= 0) {
		p->digest = str_skip(text, (size_t)at + 1);
		text = str_n(text.ptr, (size_t)at);
	}
	ptrdiff_t colon = str_index(text, ':');
	if (colon >= 0) {
		p->tag = str_skip(text, (size_t)colon + 1);
		text = str_n(text.ptr, (size_t)colon);
	}
	p->repository = text;
	p->official = str_eq_c(p->registry, DEFAULT_REGISTRY) && str_index(text, '/') < 0;
}

static bool looks_like_id(struct str s)
{
	if (s.len != 64)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
			return false;
	return true;
}

static struct err *check_repository(struct str text, const struct parts *p)
{
	struct str r = p->repository;
	if (r.len == 0)
		return err_new(
			ERR_INVALID, "image reference \"" STR_FMT "\": no repository name", STR_ARG(text));
	if (r.len + (p->official ? strlen(OFFICIAL_PREFIX) : 0) > REPOSITORY_MAX)
		return err_new(ERR_INVALID,
			"image reference \"" STR_FMT "\": the repository name is longer than %d characters",
			STR_ARG(text), REPOSITORY_MAX);
	for (size_t i = 0; i < r.len; i++)
		if (is_upper(r.ptr[i]))
			return err_new(ERR_INVALID,
				"image reference \"" STR_FMT "\": the repository name \"" STR_FMT
				"\" must be lower case",
				STR_ARG(text), STR_ARG(r));
	if (!repository_valid(r))
		return err_hint(
			err_new(ERR_INVALID,
				"image reference \"" STR_FMT "\": \"" STR_FMT "\" is not a repository name",
				STR_ARG(text), STR_ARG(r)),
			"its parts hold a-z and 0-9, joined by one '.', one or two '_', or any number of "
			"'-'");
	return NULL;
}

static struct err *check_parts(struct str text, const struct parts *p)
{
	if (!registry_valid(p->registry))
		return err_hint(
			err_new(ERR_INVALID,
				"image reference \"" STR_FMT "\": \"" STR_FMT "\" is not a registry host",
				STR_ARG(text), STR_ARG(p->registry)),
			str_starts(text, "http") ? "leave out http:// and https://"
						 : "write host, host:port or [address]:port");
	TRY(check_repository(text, p));
	if (p->tag.ptr && !tag_valid(p->tag))
		return err_hint(
			err_new(ERR_INVALID, "image reference \"" STR_FMT "\": \"" STR_FMT "\" is not a tag",
				STR_ARG(text), STR_ARG(p->tag)),
			"a tag holds letters, digits, '_', '.' and '-', begins with none of the last two and "
			"has at most %d characters",
			TAG_MAX);
	return NULL;
}

struct err *reference_parse(const char *text_c, bool default_tag, struct reference *out)
{
	struct str text = str_c(text_c);
	if (text.len == 0)
		return err_new(ERR_INVALID, "image reference is empty");
	if (text.len > REFERENCE_MAX)
		return err_new(ERR_INVALID, "image reference is longer than %d characters", REFERENCE_MAX);
	if (!str_is_utf8(text))
		return err_new(ERR_INVALID, "image reference is not UTF-8 text");
	if (looks_like_id(text))
		return err_new(ERR_INVALID,
			"image reference \"" STR_FMT "\": 64 hexadecimal digits cannot be a repository name",
			STR_ARG(text));
	struct parts p;
	split_parts(text, &p);
	TRY(check_parts(text, &p));
	struct digest digest = {0};
	if (p.digest.ptr) {
		struct err *e = digest_parse(p.digest, &digest);
		if (e)
			return err_wrap(e, "image reference \"" STR_FMT "\"", STR_ARG(text));
	}
	*out = (struct reference){
		.registry = mem_strndup(p.registry.ptr, p.registry.len),
		.repository =
			mem_printf("%s" STR_FMT, p.official ? OFFICIAL_PREFIX : "", STR_ARG(p.repository)),
		.digest = digest,
	};
	if (p.tag.ptr)
		out->tag = mem_strndup(p.tag.ptr, p.tag.len);
	else if (default_tag && !digest_is_set(&digest))
		out->tag = mem_strdup("latest");
	return NULL;
}

void reference_fini(struct reference *r)
{
	free(r->registry);
	free(r->repository);
	free(r->tag);
	*r = (struct reference){0};
}

void reference_copy(const struct reference *from, struct reference *to)
{
	*to = (struct reference){
		.registry = mem_strdup(from->registry),
		.repository = mem_strdup(from->repository),
		.tag = mem_strdup(from->tag),
		.digest = from->digest,
	};
}

static char *with_suffix(const struct reference *r, struct buf *b)
{
	char text[DIGEST_TEXT_MAX];
	if (r->tag)
		buf_addf(b, ":%s", r->tag);
	if (digest_is_set(&r->digest))
		buf_addf(b, "@%s", digest_text(&r->digest, text));
	return buf_steal(b);
}

char *reference_text(const struct reference *r)
{
	struct buf b = {0};
	buf_addf(&b, "%s/%s", r->registry, r->repository);
	return with_suffix(r, &b);
}

/* May docker.io/ be left out without the rest being read as something else? */
static bool shortens_safely(const char *repository)
{
	struct str text = str_c(repository), first;
	str_split(&text, '/', &first);
	return !text.ptr || !names_registry(first);
}

char *reference_familiar(const struct reference *r)
{
	struct buf b = {0};
	const char *repository = r->repository;
	bool hub = cstr_eq(r->registry, DEFAULT_REGISTRY);
	if (hub && cstr_starts(repository, OFFICIAL_PREFIX) &&
		!strchr(repository + strlen(OFFICIAL_PREFIX), '/')) {
		repository += strlen(OFFICIAL_PREFIX);
		buf_adds(&b, repository);
	} else if (hub && shortens_safely(repository)) {
		buf_adds(&b, repository);
	} else {
		buf_addf(&b, "%s/%s", r->registry, repository);
	}
	return with_suffix(r, &b);
}
