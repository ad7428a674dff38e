/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "dagger/dagger_schema.h"

#include <ctype.h>
#include <string.h>

static struct env_file *self(struct call *c)
{
	return (struct env_file *)(void *)c->self;
}

static void free_lines(void *p)
{
	strvec_fini(p);
}

static struct env_file *env_file_new(struct call *c, bool expand)
{
	struct env_file *f = OBJECT_NEW(c, "EnvFile", env_file);

	f->expand = expand;
	keep_cleanup(c->d, free_lines, &f->lines);
	return f;
}

static struct env_file *copy(struct call *c)
{
	struct env_file *f = env_file_new(c, self(c)->expand);

	strvec_push_all(&f->lines, strvec_list(&self(c)->lines));
	return f;
}

struct err *resolve_query_env_file(struct call *c)
{
	call_give(c, env_file_new(c, arg_flag(c, ARG_Query_envFile_expand)));
	return NULL;
}

/* "export NAME='value' # comment" without what is not the value. */
static struct str unquoted(struct str v)
{
	v = str_trim(v);
	if (v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0])
		return str_n(v.ptr + 1, v.len - 2);
	for (size_t i = 1; i < v.len; i++)
		if (v.ptr[i] == '#' && isspace((unsigned char)v.ptr[i - 1]))
			return str_trim(str_n(v.ptr, i));
	return v;
}

struct err *resolve_file_as_env_file(struct call *c)
{
	const struct file *from = (const struct file *)(const void *)c->self;
	struct env_file *f = env_file_new(c, arg_flag(c, ARG_File_asEnvFile_expand));
	AUTO_BUF struct buf text = {0};

	TRY(file_read_all(c, from, &text));
	struct str rest = buf_str(&text), line;
	for (unsigned n = 1; str_split(&rest, '\n', &line); n++) {
		line = str_trim(line);
		if (str_starts(line, "export "))
			line = str_trim(str_skip(line, 7));
		if (!line.len || line.ptr[0] == '#')
			continue;
		ptrdiff_t eq = str_index(line, '=');
		if (eq <= 0)
			return err_new(ERR_INVALID, "%s:%u: not NAME=VALUE", from->path, n);
		AUTO_FREE char *name = mem_strndup(line.ptr, (size_t)eq);
		struct str value = str_trim(str_skip(line, (size_t)eq + 1));
		AUTO_FREE char *copy_of = mem_strndup(value.ptr, value.len);
		envlist_set(&f->lines, name, copy_of);
	}
	call_give(c, f);
	return NULL;
}

/* With variables of the file itself replaced, those before it. */
static void expanded(const struct env_file *f, const char *value, struct buf *out)
{
	for (const char *s = value; *s;) {
		bool braces = s[0] == '$' && s[1] == '{';
		size_t skip = braces ? 2 : 1, len = 0;
		while (*s == '$' && (isalnum((unsigned char)s[skip + len]) || s[skip + len] == '_'))
			len++;
		if (*s != '$' || !len || (braces && s[skip + len] != '}')) {
			buf_addc(out, *s++);
			continue;
		}
		AUTO_FREE char *name = mem_strndup(s + skip, len);
		const char *v = envlist_get(&f->lines, name);
		buf_addstr(out, unquoted(str_c(v)));
		s += skip + len + braces;
	}
}

const char *env_file_value(struct call *c, const struct env_file *f, const char *value)
{
	AUTO_BUF struct buf out = {0};

	bool literal = value[0] == '\'';
	struct str plain = unquoted(str_c(value));
	const char *text = arena_strndup(c->arena, plain.ptr, plain.len);
	if (literal || !f->expand)
		return text;
	expanded(f, text, &out);
	return arena_strdup(c->arena, buf_cstr(&out));
}

static const char *value_of(struct call *c, const char *value, bool raw)
{
	return raw ? value : env_file_value(c, self(c), value);
}

struct err *resolve_env_file_with_variable(struct call *c)
{
	struct env_file *f = copy(c);

	envlist_set(&f->lines, arg_text(c, ARG_EnvFile_withVariable_name),
		arg_text(c, ARG_EnvFile_withVariable_value));
	call_give(c, f);
	return NULL;
}

struct err *resolve_env_file_without_variable(struct call *c)
{
	struct env_file *f = copy(c);
	AUTO_FREE char *prefix = mem_printf("%s=", arg_text(c, ARG_EnvFile_withoutVariable_name));

	for (size_t i = f->lines.len; i-- > 0;)
		if (cstr_starts(f->lines.ptr[i], prefix))
			strvec_remove(&f->lines, i);
	call_give(c, f);
	return NULL;
}

struct err *resolve_env_file_variables(struct call *c)
{
	const struct env_file *f = self(c);
	void **list = arena_array(c->arena, f->lines.len + 1, sizeof(*list));

	for (size_t i = 0; i < f->lines.len; i++) {
		const char *eq = strchr(f->lines.ptr[i], '=');
		list[i] = pair_new(c, "EnvVariable",
			arena_strndup(c->arena, f->lines.ptr[i], (size_t)(eq - f->lines.ptr[i])),
			value_of(c, eq + 1, arg_flag(c, ARG_EnvFile_variables_raw)));
	}
	call_give_list(c, list, f->lines.len);
	return NULL;
}

struct err *resolve_env_file_get(struct call *c)
{
	const char *name = arg_text(c, ARG_EnvFile_get_name), *value = envlist_get(&self(c)->lines, name);

	gql_out_string(c->out, str_c(value_of(c, value ? value : "", arg_flag(c, ARG_EnvFile_get_raw))));
	return NULL;
}

struct err *resolve_env_file_exists(struct call *c)
{
	gql_out_bool(c->out, envlist_get(&self(c)->lines, arg_text(c, ARG_EnvFile_exists_name)) != NULL);
	return NULL;
}

struct err *resolve_env_file_namespace(struct call *c)
{
	struct env_file *f = env_file_new(c, self(c)->expand);
	const char *prefix = arg_text(c, ARG_EnvFile_namespace_prefix);

	for (size_t i = 0; i < self(c)->lines.len; i++)
		if (cstr_starts(self(c)->lines.ptr[i], prefix))
			strvec_push(&f->lines, self(c)->lines.ptr[i] + strlen(prefix));
	call_give(c, f);
	return NULL;
}

struct err *resolve_env_file_as_file(struct call *c)
{
	AUTO_BUF struct buf text = {0};
	struct node *n = NULL;

	for (size_t i = 0; i < self(c)->lines.len; i++)
		buf_addf(&text, "%s\n", self(c)->lines.ptr[i]);
	const struct file_action a = {.kind = FILE_MKFILE, .dest = "/.env", .data = buf_str(&text)};
	TRY(node_actions(c->d, NULL, &a, 1, "write .env", &n));
	call_give(c, file_new(c, n, "/.env"));
	return NULL;
}
