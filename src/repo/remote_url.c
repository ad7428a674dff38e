/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <string.h>

static char *normalize(const char *scheme, struct str host, struct str path)
{
	while (path.len && path.ptr[0] == '/')
		path = str_skip(path, 1);
	while (path.len && path.ptr[path.len - 1] == '/')
		path.len--;
	if (str_ends(path, ".git") && path.len > 4)
		path.len -= 4;
	if (!host.len || !path.len)
		return NULL;
	return mem_printf("%s://" STR_FMT "/" STR_FMT, scheme, STR_ARG(host), STR_ARG(path));
}

static struct str without_user(struct str authority)
{
	ptrdiff_t at = str_rindex(authority, '@');
	return at < 0 ? authority : str_skip(authority, (size_t)at + 1);
}

static struct str without_port(struct str host)
{
	ptrdiff_t colon = str_rindex(host, ':');
	bool in_brackets = host.len && host.ptr[host.len - 1] == ']';
	return colon < 0 || in_brackets ? host : str_n(host.ptr, (size_t)colon);
}

char *remote_url_public(const char *url)
{
	const char *sep = strstr(url, "://");
	if (sep) {
		struct str scheme = str_n(url, (size_t)(sep - url)), rest = str_c(sep + 3);
		size_t end = strcspn(rest.ptr, "?#");
		rest.len = end;
		ptrdiff_t slash = str_index(rest, '/');
		if (slash <= 0)
			return NULL;
		struct str host = without_user(str_n(rest.ptr, (size_t)slash));
		struct str path = str_skip(rest, (size_t)slash);
		if (str_eq_c(scheme, "http") || str_eq_c(scheme, "https"))
			return normalize(str_eq_c(scheme, "http") ? "http" : "https", host, path);
		if (str_eq_c(scheme, "ssh") || str_eq_c(scheme, "git+ssh") || str_eq_c(scheme, "git"))
			return normalize("https", without_port(host), path);
		return NULL;
	}
	struct str s = str_c(url);
	ptrdiff_t colon = str_index(s, ':'), slash = str_index(s, '/');
	if (colon <= 0 || (slash >= 0 && slash < colon))
		return NULL; /* a path of this machine */
	return normalize("https", without_user(str_n(url, (size_t)colon)), str_skip(s, (size_t)colon + 1));
}

/* "remote.<name>.url" gives the name. */
static bool remote_name(const char *key, struct str *out)
{
	struct str s = str_c(key);
	if (!str_starts(s, "remote.") || !str_ends(s, ".url") || s.len <= strlen("remote..url"))
		return false;
	*out = str_n(s.ptr + strlen("remote."), s.len - strlen("remote..url"));
	return true;
}

/* Read from the settings: libgit2's own list of remotes leaks at every call. */
struct err *repo_remotes(const struct repo *r, struct strvec *out)
{
	AUTO(git_config_freep) git_config *config = NULL;
	AUTO(git_config_iterator_freep) git_config_iterator *it = NULL;
	int rc = r->g->git_repository_config(&config, r->git);
	if (rc == 0)
		rc = r->g->git_config_iterator_new(&it, config);
	git_config_entry *entry = NULL;
	while (rc == 0 && (rc = r->g->git_config_next(&entry, it)) == 0) {
		struct str name;
		if (!remote_name(entry->name, &name))
			continue;
		AUTO_FREE char *key = mem_strndup(name.ptr, name.len);
		if (!envlist_get(out, key))
			envlist_set(out, key, entry->value ? entry->value : "");
	}
	return rc == GIT_ITEROVER ? NULL : repo_git_error(r, rc, "reading the git settings of %s", r->root);
}

/* The URL of the remote whose name begins the main ref, of "origin", or of the only one. Borrowed from
 * remotes; NULL if none fits. */
static const char *pick_url(const struct strvec *remotes, const char *main_name)
{
	const char *out = envlist_get(remotes, "origin");
	if (!out && remotes->len == 1)
		out = strchr(remotes->ptr[0], '=') + 1;
	size_t best = 0;
	for (size_t i = 0; i < remotes->len && main_name; i++) {
		const char *name = remotes->ptr[i], *eq = strchr(name, '=');
		size_t len = (size_t)(eq - name);
		if (len > best && strncmp(main_name, name, len) == 0 && main_name[len] == '/') {
			best = len;
			out = eq + 1;
		}
	}
	return out;
}

struct err *repo_remote_url(struct repo *r, char **out)
{
	AUTO_STRVEC struct strvec remotes = {0};
	TRY(repo_remotes(r, &remotes));
	AUTO_FREE char *main_name = NULL;
	struct err *e = repo_main(r, &main_name, NULL);
	if (e)
		err_ignore(e, "without a main ref the usual remote will do");
	const char *url = pick_url(&remotes, main_name);
	*out = url ? remote_url_public(url) : NULL;
	return NULL;
}
