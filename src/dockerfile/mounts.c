/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/mounts.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/vec.h"
#include "dockerfile/words.h"

#include <ctype.h>
#include <string.h>

enum { BIND = 1 << MOUNT_BIND, CACHE = 1 << MOUNT_CACHE, TMPFS = 1 << MOUNT_TMPFS };
enum { SECRET = 1 << MOUNT_SECRET, SSH = 1 << MOUNT_SSH, ALL = BIND | CACHE | TMPFS | SECRET | SSH };

static const char *const types[] = {
	[MOUNT_BIND] = "bind",
	[MOUNT_CACHE] = "cache",
	[MOUNT_TMPFS] = "tmpfs",
	[MOUNT_SECRET] = "secret",
	[MOUNT_SSH] = "ssh",
	NULL,
};

enum key {
	KEY_TYPE,
	KEY_FROM,
	KEY_SOURCE,
	KEY_TARGET,
	KEY_READONLY,
	KEY_READWRITE,
	KEY_ID,
	KEY_SHARING,
	KEY_REQUIRED,
	KEY_MODE,
	KEY_UID,
	KEY_GID,
	KEY_SIZE,
	KEY_ENV,
};

static const struct {
	const char *name;
	enum key key;
	unsigned types; /* where it may stand */
	bool bare;      /* may stand without a value */
} keys[] = {
	{"type", KEY_TYPE, ALL, false},
	{"from", KEY_FROM, BIND | CACHE, false},
	{"source", KEY_SOURCE, BIND | CACHE | SECRET, false},
	{"src", KEY_SOURCE, BIND | CACHE | SECRET, false},
	{"target", KEY_TARGET, ALL, false},
	{"dst", KEY_TARGET, ALL, false},
	{"destination", KEY_TARGET, ALL, false},
	{"readonly", KEY_READONLY, BIND | CACHE | TMPFS, true},
	{"ro", KEY_READONLY, BIND | CACHE | TMPFS, true},
	{"readwrite", KEY_READWRITE, BIND | CACHE | TMPFS, true},
	{"rw", KEY_READWRITE, BIND | CACHE | TMPFS, true},
	{"id", KEY_ID, CACHE | SECRET | SSH, false},
	{"sharing", KEY_SHARING, CACHE, false},
	{"required", KEY_REQUIRED, SECRET | SSH, true},
	{"mode", KEY_MODE, CACHE | SECRET | SSH, false},
	{"uid", KEY_UID, CACHE | SECRET | SSH, false},
	{"gid", KEY_GID, CACHE | SECRET | SSH, false},
	{"size", KEY_SIZE, TMPFS, false},
	{"env", KEY_ENV, SECRET, false},
};

static const char *const key_names[] = {"type", "from", "source", "src", "target", "dst", "destination",
	"readonly", "ro", "readwrite", "rw", "id", "sharing", "required", "mode", "uid", "gid", "size", "env",
	NULL};

static size_t key_index(const char *name)
{
	size_t i = 0;
	while (i < ARRAY_LEN(keys) && strcmp(keys[i].name, name) != 0)
		i++;
	return i;
}

static const char *suggestion(struct arena *a, const char *word, const char *const *names)
{
	const char *near = str_suggest(word, names);
	return near ? arena_printf(a, " (did you mean %s?)", near) : "";
}

static int type_index(const char *name)
{
	for (int i = 0; types[i]; i++)
		if (str_eq_nocase(str_c(name), types[i]))
			return i;
	return -1;
}

static void check_field(struct arena *a, struct diag *d, struct pos at, const struct mount_field *f)
{
	size_t k = key_index(f->key);
	if (k == ARRAY_LEN(keys)) {
		diag_add(d, at, "unexpected key '%s' in --mount%s", f->key, suggestion(a, f->key, key_names));
		return;
	}
	if (!f->value && !keys[k].bare)
		diag_add(d, at, "invalid field '%s' in --mount: must be a key=value pair", f->key);
	if (!f->value || strchr(f->value, '$')) {
		if (f->value && keys[k].key == KEY_FROM)
			diag_add(d, at,
				"'from' doesn't support variable expansion, define alias stage instead");
		return;
	}
	if (keys[k].key == KEY_TYPE && type_index(f->value) < 0)
		diag_add(d, at, "unsupported mount type \"%s\"%s", f->value, suggestion(a, f->value, types));
}

void mount_split(struct arena *a, struct diag *d, struct pos at, const char *value, struct mount_words *out)
{
	*out = (struct mount_words){.at = at};
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	if (!words_csv(a, value, &words)) {
		diag_add(d, at, "malformed --mount \"%s\": a field with a quote must be quoted as a whole",
			value);
		return;
	}
	struct mount_field *fields = arena_array(a, words.len + 1, sizeof(*fields));
	for (size_t i = 0; i < words.len; i++) {
		const struct word *w = vec_at(&words, i);
		const char *eq = strchr(w->text, '=');
		char *key = arena_strndup(a, w->text, eq ? (size_t)(eq - w->text) : strlen(w->text));
		for (char *c = key; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		fields[i] = (struct mount_field){key, eq ? eq + 1 : NULL};
		check_field(a, d, at, &fields[i]);
		if (strcmp(key, "from") == 0)
			out->from = fields[i].value;
	}
	out->fields = fields;
	out->count = words.len;
}

static struct err *parse_bool(const struct mount_field *f, bool *out)
{
	static const char *const yes[] = {"true", "1", "t", NULL}, *const no[] = {"false", "0", "f", NULL};
	*out = true;
	if (!f->value)
		return NULL;
	for (size_t i = 0; yes[i]; i++) {
		if (str_eq_nocase(str_c(f->value), yes[i]))
			return NULL;
		if (str_eq_nocase(str_c(f->value), no[i])) {
			*out = false;
			return NULL;
		}
	}
	return err_new(ERR_INVALID, "invalid value for %s: %s: must be true or false", f->key, f->value);
}

static struct err *parse_number(const struct mount_field *f, bool octal, uint32_t *out)
{
	uint64_t v = 0;
	struct str s = str_c(f->value);
	bool ok = octal ? str_to_octal(s, out) && *out <= 07777 : str_to_u64(s, &v) && v <= UINT32_MAX;
	if (!ok)
		return err_new(ERR_INVALID, "invalid value for %s: \"%s\": must be %s", f->key, f->value,
			octal ? "an octal mode" : "a number");
	if (!octal)
		*out = (uint32_t)v;
	return NULL;
}

/* "100m", "1gb", "4096", powers of 1024. */
static struct err *parse_size(const struct mount_field *f, uint64_t *out)
{
	struct str s = str_c(f->value);
	size_t digits = strspn(f->value, "0123456789");
	uint64_t v = 0;
	struct str unit = str_trim(str_skip(s, digits));
	static const char letters[] = "bkmgt";
	unsigned shift = 0;
	bool ok = str_to_u64(str_n(s.ptr, digits), &v);
	if (ok && unit.len) {
		const char *l = strchr(letters, tolower((unsigned char)unit.ptr[0]));
		ok = l && *l &&
		     (unit.len == 1 || str_eq_nocase(str_skip(unit, 1), "b") ||
			     str_eq_nocase(str_skip(unit, 1), "ib"));
		shift = ok ? 10 * (unsigned)(l - letters) : 0;
	}
	if (!ok || (shift && v > UINT64_MAX >> shift))
		return err_new(ERR_INVALID,
			"invalid value for size: \"%s\": must be a number of bytes with k, m or g", f->value);
	*out = v << shift;
	return NULL;
}

static struct err *parse_sharing(const struct mount_field *f, enum cache_sharing *out)
{
	static const char *const names[] = {"shared", "private", "locked", NULL};
	for (size_t i = 0; names[i]; i++)
		if (str_eq_nocase(str_c(f->value), names[i])) {
			*out = (enum cache_sharing)i;
			return NULL;
		}
	const char *near = str_suggest(f->value, names);
	return err_new(ERR_INVALID, "unsupported sharing value \"%s\"%s%s%s", f->value,
		near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* What parsing one mount carries along. */
struct mount_state {
	struct mount_spec *m;
	bool id_set, source_set;
	int read_only; /* -1: not said */
};

static struct err *parse_field(struct mount_state *st, enum key key, const struct mount_field *f)
{
	struct mount_spec *m = st->m;
	bool flag = false;
	switch (key) {
	case KEY_TYPE:
		return NULL;
	case KEY_FROM:
		m->from = f->value;
		return NULL;
	case KEY_SOURCE:
		st->source_set = true;
		m->source = f->value;
		return NULL;
	case KEY_TARGET:
		m->target = f->value;
		return NULL;
	case KEY_READONLY:
	case KEY_READWRITE:
		TRY(parse_bool(f, &flag));
		st->read_only = flag == (key == KEY_READONLY);
		return NULL;
	case KEY_ID:
		st->id_set = true;
		m->id = f->value;
		return NULL;
	case KEY_SHARING:
		return parse_sharing(f, &m->sharing);
	case KEY_REQUIRED:
		return parse_bool(f, &m->required);
	case KEY_MODE:
		m->has_owner = true;
		return parse_number(f, true, &m->mode);
	case KEY_UID:
	case KEY_GID:
		m->has_owner = true;
		return parse_number(f, false, key == KEY_UID ? &m->uid : &m->gid);
	case KEY_SIZE:
		return parse_size(f, &m->size);
	case KEY_ENV:
		m->env = f->value;
		return NULL;
	}
	return NULL;
}

static struct err *parse_type(const struct mount_field *fields, size_t count, struct mount_spec *m)
{
	static const uint32_t modes[] = {[MOUNT_BIND] = 0,
		[MOUNT_CACHE] = 0755,
		[MOUNT_TMPFS] = 0,
		[MOUNT_SECRET] = 0400,
		[MOUNT_SSH] = 0600};
	m->kind = MOUNT_BIND;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].key, "type") != 0)
			continue;
		int t = type_index(fields[i].value ? fields[i].value : "");
		if (t < 0)
			return err_new(ERR_INVALID, "unsupported mount type \"%s\"", fields[i].value);
		m->kind = (enum mount_kind)t;
	}
	m->mode = modes[m->kind];
	return NULL;
}

/* Defaults and rules that need all keys. */
static struct err *finish(struct arena *a, struct mount_state *st)
{
	struct mount_spec *m = st->m;
	m->writable = st->read_only < 0 ? m->kind == MOUNT_CACHE || m->kind == MOUNT_TMPFS : !st->read_only;
	if (m->target && !*m->target)
		m->target = NULL;
	if (m->kind == MOUNT_SECRET) {
		if (st->id_set && st->source_set)
			return err_new(ERR_INVALID,
				"both id and source of a secret mount are set: they mean the same");
		m->id = st->id_set ? m->id : m->source;
		m->source = NULL;
		if (!m->id && m->target) {
			char *clean AUTO_FREE = path_clean(m->target);
			m->id = arena_strdup(a, path_base(clean));
		}
		if (!m->id || !*m->id)
			return err_new(ERR_INVALID, "a secret mount needs an id or a target");
		if (!m->target && !m->env) {
			char *clean AUTO_FREE = path_clean(m->id);
			m->target = arena_printf(a, "/run/secrets/%s", path_base(clean));
		}
	} else if (m->kind == MOUNT_SSH) {
		if (!m->id || !*m->id)
			m->id = "default";
	} else if (!m->target) {
		return err_new(ERR_INVALID, "target is required in a %s mount", types[m->kind]);
	}
	if (m->kind == MOUNT_CACHE && (!m->id || !*m->id)) {
		char *clean AUTO_FREE = path_clean(m->target);
		m->id = arena_strdup(a, clean);
	}
	return NULL;
}

struct err *mount_parse(
	struct arena *a, const struct mount_field *fields, size_t count, struct mount_spec *out)
{
	struct mount_spec m = {0};
	struct mount_state st = {.m = &m, .read_only = -1};
	TRY(parse_type(fields, count, &m));
	for (size_t i = 0; i < count; i++) {
		size_t k = key_index(fields[i].key);
		if (k == ARRAY_LEN(keys))
			return err_new(ERR_INVALID, "unexpected key '%s'", fields[i].key);
		if (!(keys[k].types & (1u << m.kind)))
			return err_new(ERR_INVALID, "unexpected key '%s' for mount type '%s'", fields[i].key,
				types[m.kind]);
		if (!fields[i].value && !keys[k].bare)
			return err_new(
				ERR_INVALID, "invalid field '%s': must be a key=value pair", fields[i].key);
		TRY(parse_field(&st, keys[k].key, &fields[i]));
	}
	TRY(finish(a, &st));
	*out = m;
	return NULL;
}
