/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"
#include "repo/yaml.h"

#include <ctype.h>
#include <string.h>

#define CONFIG_FILE "cooper.yaml"
#define CONFIG_MAX (1u << 20)

static const char *const keys[] = {
	"registry",
	"namespace",
	"main",
	"containers",
	"manifests",
	"helpers",
	"runners",
	"server",
	NULL,
};
static const char *const kind_names[] = {"container.py", "dockerfile", "nix", NULL};
static const char *const default_runners[BUILD_KINDS] = {"k8s", "k8s", "nix-container-builder"};

/* What is being read; place of a key for messages. */
struct source {
	const struct yaml_node *top;
	const char *path;
};

static struct err *bad_value(const struct source *s, const char *key, const char *value, const char *what)
{
	const struct yaml_node *n = yaml_get(s->top, key);
	return err_new(ERR_INVALID, "%s:%u:%u: %s: \"%s\" %s", s->path, n->line, n->column, key, value, what);
}

void repo_config_fini(struct repo_config *c)
{
	mem_freep(&c->registry);
	mem_freep(&c->namespace_);
	mem_freep(&c->main_ref);
	mem_freep(&c->containers);
	mem_freep(&c->server);
	strvec_fini(&c->manifests);
	strvec_fini(&c->helpers);
	strvec_fini(&c->runners);
	*c = (struct repo_config){0};
}

/* "My Repo_2" -> "my-repo-2": what a path component of an image name allows. */
static char *namespace_of_folder(const char *folder)
{
	AUTO_BUF struct buf b = {0};
	bool gap = false;
	for (const char *p = folder; *p; p++) {
		int c = tolower((unsigned char)*p);
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
			if (gap && b.len)
				buf_addc(&b, '-');
			buf_addc(&b, (char)c);
			gap = false;
		} else {
			gap = true;
		}
	}
	if (!b.len)
		buf_adds(&b, "local");
	return buf_steal(&b);
}

static struct err *get_text(const struct source *s, const char *key, char **out)
{
	const char *text = NULL;
	TRY(yaml_get_text(s->top, key, s->path, &text));
	if (text && !*text)
		return bad_value(s, key, text, "is empty");
	if (text) {
		mem_freep(out);
		*out = mem_strdup(text);
	}
	return NULL;
}

static struct err *check_registry(const struct source *s, const char *value)
{
	if (strstr(value, "://"))
		return err_hint(bad_value(s, "registry", value, "is a URL"),
			"write the host alone, like \"%s\"", strstr(value, "://") + 3);
	if (strchr(value, '/'))
		return err_hint(bad_value(s, "registry", value, "holds a path"),
			"write the host alone; the path goes under namespace:");
	for (const char *p = value; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-:[]", *p))
			return bad_value(s, "registry", value, "is not a host name with an optional port");
	return NULL;
}

static struct err *check_namespace(const struct source *s, const char *value)
{
	struct str rest = str_c(value), part;
	while (str_split(&rest, '/', &part))
		if (!container_name_valid(part))
			return err_hint(bad_value(s, "namespace", value, "cannot stand in an image name"),
				"lower case letters and digits, with single . _ or - between");
	return NULL;
}

static struct err *check_folder(const struct source *s, const char *key, const char *value)
{
	AUTO_FREE char *clean = path_clean(value);
	if (path_is_abs(value) || path_has_dotdot(str_c(value)) || !cstr_eq(clean, value) ||
		cstr_eq(clean, "."))
		return err_hint(bad_value(s, key, value, "is not a plain folder of the repository"),
			"write it relative to the repository's root, without a slash at the end");
	return NULL;
}

static struct err *get_folders(
	const struct source *s, const char *key, const char *standard, struct strvec *out)
{
	TRY(yaml_get_texts(s->top, key, s->path, out));
	for (size_t i = 0; i < out->len; i++)
		TRY(check_folder(s, key, out->ptr[i]));
	if (!yaml_get(s->top, key))
		strvec_push(out, standard);
	return NULL;
}

static struct err *get_runners(const struct source *s, struct strvec *out)
{
	const struct yaml_node *map = yaml_get(s->top, "runners");
	TRY(yaml_check_keys(map, s->path, kind_names));
	for (size_t i = 0; i < BUILD_KINDS; i++) {
		const char *label = default_runners[i];
		TRY(yaml_get_text(map, kind_names[i], s->path, &label));
		if (!*label || label[strcspn(label, " \t\r\n=,")])
			return bad_value(s, "runners", label, "is not a runner label");
		envlist_set(out, kind_names[i], label);
	}
	return NULL;
}

static struct err *check_server(const struct source *s, const char *value)
{
	if (!cstr_starts(value, "https://") && !cstr_starts(value, "http://"))
		return err_hint(bad_value(s, "server", value, "is not a web address"),
			"write it like https://cooper.example");
	const char *host = strstr(value, "://") + 3;
	size_t len = strcspn(host, "/");
	for (const char *p = host; p < host + len; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-:[]", *p))
			len = 0;
	if (!len || (host[len] && !cstr_eq(host + len, "/")))
		return err_hint(bad_value(s, "server", value, "is not a host with an optional port"),
			"write it like https://cooper.example");
	return NULL;
}

/* A server is a registry, too: its host, with the port wherever image names would be read in another way. */
static char *registry_of_server(const char *server)
{
	bool tls = cstr_starts(server, "https://");
	const char *host = strstr(server, "://") + 3;
	AUTO_FREE char *name = mem_strndup(host, strcspn(host, "/"));
	const char *port = strrchr(name, ':');
	bool has_port = port && !strchr(port, ']');
	bool is_host = strchr(name, '.') || strchr(name, ':') || cstr_eq(name, "localhost");
	if (has_port || (tls && is_host))
		return steal(&name);
	return mem_printf("%s:%d", name, tls ? 443 : 80);
}

static struct err *read_values(const struct source *s, struct repo_config *c)
{
	TRY(get_text(s, "registry", &c->registry));
	if (c->registry)
		TRY(check_registry(s, c->registry));
	TRY(get_text(s, "namespace", &c->namespace_));
	if (yaml_get(s->top, "namespace"))
		TRY(check_namespace(s, c->namespace_));
	TRY(get_text(s, "main", &c->main_ref));
	TRY(get_text(s, "containers", &c->containers));
	if (yaml_get(s->top, "containers"))
		TRY(check_folder(s, "containers", c->containers));
	TRY(get_folders(s, "manifests", "argocd/manifests", &c->manifests));
	TRY(get_folders(s, "helpers", "src", &c->helpers));
	TRY(get_runners(s, &c->runners));
	TRY(get_text(s, "server", &c->server));
	if (c->server)
		TRY(check_server(s, c->server));
	if (c->server && !c->registry)
		c->registry = registry_of_server(c->server);
	return NULL;
}

struct err *repo_config_parse(struct str text, const char *path, const char *folder, struct repo_config *out)
{
	AUTO(arena_freep) struct arena *arena = arena_new();
	struct yaml_node *top = NULL;
	TRY(yaml_parse(arena, text, path, &top));
	TRY(yaml_check_keys(top, path, keys));
	AUTO(repo_config_fini)
	struct repo_config c = {
		.namespace_ = namespace_of_folder(folder),
		.containers = mem_strdup("containers"),
	};
	struct source s = {.top = top, .path = path};
	TRY(read_values(&s, &c));
	*out = c;
	c = (struct repo_config){0};
	return NULL;
}

struct err *repo_config_load(struct repo *r, const struct commit *c, struct repo_config *out)
{
	AUTO_BUF struct buf text = {0};
	bool found = false;
	TRY(repo_read_at(r, c, CONFIG_FILE, CONFIG_MAX, &text, &found));
	AUTO_FREE char *path = c ? mem_printf(CONFIG_FILE " at %s", c->short_id) : mem_strdup(CONFIG_FILE);
	TRY(repo_config_parse(buf_str(&text), path, path_base(r->root), out));
	mem_freep(&r->main_ref);
	r->main_ref = mem_strdup(out->main_ref);
	return NULL;
}
