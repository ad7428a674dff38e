/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/upstream_tag.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "repo/repo.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_TAGS 5
#define TAG_REF "refs/tags/"
#define VERSION_PLACE "{version}"

void upstream_tag_fini(struct upstream_tag *t)
{
	mem_freep(&t->url);
	mem_freep(&t->version);
	mem_freep(&t->tag);
	mem_freep(&t->commit);
	*t = (struct upstream_tag){0};
}

/* One tag of a listing; a peeled line ("...^{}") names the commit of the tag before it. */
struct tag_line {
	struct str name, commit;
	bool peeled;
};

static bool is_commit(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr("0123456789abcdef", s.ptr[i]) || !s.ptr[i])
			return false;
	return s.len == 40;
}

static bool next_tag(struct str *listing, struct tag_line *out)
{
	struct str line, hex;
	while (listing->len && str_split(listing, '\n', &line)) {
		if (!str_split(&line, '\t', &hex) || !is_commit(hex) || !str_starts(line, TAG_REF))
			continue;
		out->commit = hex;
		out->peeled = str_ends(line, "^{}");
		out->name = str_skip(line, strlen(TAG_REF));
		out->name.len -= out->peeled ? 3 : 0;
		return true;
	}
	return false;
}

/* "v1.2.3" or "1.2.3": digits and dots, the version of a release and of no candidate for one. */
static bool is_release(struct str name)
{
	bool digit = false;
	if (str_starts(name, "v"))
		name = str_skip(name, 1);
	for (size_t i = 0; i < name.len; i++) {
		bool now = name.ptr[i] >= '0' && name.ptr[i] <= '9';
		if (!now && (name.ptr[i] != '.' || !digit))
			return false;
		digit = now;
	}
	return digit;
}

static bool is_wanted(struct str name, const char *version)
{
	if (!version)
		return is_release(name);
	return str_eq_c(name, version) || (str_starts(name, "v") && str_eq_c(str_skip(name, 1), version));
}

static char *version_of(struct str name, const char *version)
{
	if (version)
		return mem_strdup(version);
	return mem_strndup(name.ptr + (name.ptr[0] == 'v'), name.len - (name.ptr[0] == 'v'));
}

static int newest_first(const void *a, const void *b)
{
	return version_cmp(*(char *const *)b, *(char *const *)a);
}

static struct err *no_tag(struct str listing, const char *version)
{
	AUTO_STRVEC struct strvec releases = {0};
	AUTO_BUF struct buf list = {0};
	struct tag_line line;
	while (next_tag(&listing, &line))
		if (!line.peeled && is_release(line.name))
			strvec_push_take(&releases, version_of(line.name, NULL));
	if (releases.len)
		qsort(releases.ptr, releases.len, sizeof(*releases.ptr), newest_first);
	for (size_t i = 0; i < releases.len && i < SHOWN_TAGS; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", releases.ptr[i]);
	if (!version)
		return err_hint(err_new(ERR_NOT_FOUND, "no tag looks like a release (1.2.3 or v1.2.3)"),
			"name the tag with --version");
	struct err *e = err_new(ERR_NOT_FOUND, "no tag %s or v%s", version, version);
	return list.len ? err_hint(e, "the newest releases are: %s", buf_cstr(&list)) : e;
}

struct err *upstream_choose_tag(struct str listing, const char *version, struct upstream_tag *out)
{
	AUTO_FREE char *best = NULL;
	struct tag_line line, found = {0};
	struct str rest = listing;
	while (next_tag(&rest, &line)) {
		if (line.peeled && best && str_eq(line.name, found.name))
			found.commit = line.commit;
		if (line.peeled || !is_wanted(line.name, version))
			continue;
		AUTO_FREE char *v = version_of(line.name, version);
		if (best && version_cmp(v, best) <= 0)
			continue;
		mem_freep(&best);
		best = steal(&v);
		found = line;
	}
	if (!best)
		return no_tag(listing, version);
	bool prefixed = !str_eq_c(found.name, best);
	*out = (struct upstream_tag){
		.tag = mem_printf("%s" VERSION_PLACE, prefixed ? "v" : ""),
		.version = steal(&best),
		.commit = mem_strndup(found.commit.ptr, found.commit.len),
	};
	return NULL;
}
