/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "graph/graph_internal.h"

/*
 * The canonical form: one JSON object with sorted keys, absent values left out. Digests hash these bytes, so
 * a change of form invalidates every cache: FORM must then be raised on purpose.
 */
#define FORM 1

struct writer {
	struct buf *out;
	bool first;
};

static void key(struct writer *w, const char *name)
{
	buf_adds(w->out, w->first ? "{" : ",");
	w->first = false;
	buf_addc(w->out, '"');
	buf_adds(w->out, name);
	buf_adds(w->out, "\":");
}

static void put_text(struct writer *w, const char *name, const char *value)
{
	if (!value)
		return;
	key(w, name);
	buf_add_json(w->out, str_c(value));
}

static void put_number(struct writer *w, const char *name, uint64_t value)
{
	if (!value)
		return;
	key(w, name);
	buf_addf(w->out, "%llu", (unsigned long long)value);
}

static void put_flag(struct writer *w, const char *name, bool value)
{
	if (!value)
		return;
	key(w, name);
	buf_adds(w->out, "true");
}

static void put_list(struct writer *w, const char *name, const char *const *list)
{
	if (!list)
		return;
	key(w, name);
	buf_addc(w->out, '[');
	for (size_t i = 0; list[i]; i++) {
		if (i)
			buf_addc(w->out, ',');
		buf_add_json(w->out, str_c(list[i]));
	}
	buf_addc(w->out, ']');
}

static void finish(struct writer *w)
{
	buf_adds(w->out, w->first ? "{}" : "}");
}

static void write_image(struct writer *w, const struct op_image *o)
{
	put_text(w, "platform", o->platform);
	put_text(w, "ref", o->ref);
}

static void write_git(struct writer *w, const struct op_git *o)
{
	put_text(w, "authSecret", o->auth_secret);
	put_text(w, "checksum", o->checksum);
	put_number(w, "depth", (uint64_t)o->depth);
	put_flag(w, "includeTags", o->include_tags);
	put_flag(w, "keepGitDir", o->keep_git_dir);
	put_number(w, "mtime", (uint64_t)o->mtime);
	put_flag(w, "noSubmodules", o->no_submodules);
	put_text(w, "ref", o->ref);
	put_text(w, "subdir", o->subdir);
	put_text(w, "url", o->url);
}

static void write_http(struct writer *w, const struct op_http *o)
{
	put_text(w, "authSecret", o->auth_secret);
	put_text(w, "checksum", o->checksum);
	put_text(w, "filename", o->filename);
	put_number(w, "gid", o->gid);
	put_number(w, "mode", o->mode);
	put_flag(w, "serverTime", o->server_time);
	put_number(w, "uid", o->uid);
	put_text(w, "url", o->url);
}

static void write_local(struct writer *w, const struct op_local *o)
{
	put_list(w, "exclude", o->exclude);
	put_list(w, "include", o->include);
	put_text(w, "name", o->name);
}

static void write_mount(struct buf *out, const struct exec_mount *m)
{
	struct writer w = {out, true};

	put_text(&w, "cacheId", m->cache_id);
	put_text(&w, "env", m->env);
	put_number(&w, "gid", m->gid);
	put_number(&w, "input", (uint64_t)(m->input + 1));
	put_flag(&w, "keep", m->keep);
	put_number(&w, "kind", (uint64_t)m->kind + 1);
	put_number(&w, "mode", m->mode);
	put_text(&w, "owner", m->owner);
	put_flag(&w, "required", m->required);
	put_text(&w, "secretId", m->secret_id);
	put_number(&w, "sharing", (uint64_t)m->sharing);
	put_number(&w, "size", m->size);
	put_text(&w, "source", m->source);
	put_text(&w, "target", m->target);
	put_number(&w, "uid", m->uid);
	put_flag(&w, "writable", m->writable);
	finish(&w);
}

static void write_exec(struct writer *w, const struct op_exec *o)
{
	if (o->accept_count) {
		key(w, "accept");
		for (size_t i = 0; i < o->accept_count; i++)
			buf_addf(w->out, "%c%u", i ? ',' : '[', (unsigned)o->accept[i]);
		buf_addc(w->out, ']');
	}
	put_list(w, "argv", o->argv);
	put_text(w, "cwd", o->cwd);
	put_list(w, "env", o->env);
	put_list(w, "extraHosts", o->extra_hosts);
	put_text(w, "hostname", o->hostname);
	put_flag(w, "insecure", o->insecure);
	if (o->mount_count) {
		key(w, "mounts");
		for (size_t i = 0; i < o->mount_count; i++) {
			buf_addc(w->out, i ? ',' : '[');
			write_mount(w->out, &o->mounts[i]);
		}
		buf_addc(w->out, ']');
	}
	put_number(w, "network", (uint64_t)o->network);
	put_text(w, "redirectStderr", o->redirect_stderr);
	put_text(w, "redirectStdin", o->redirect_stdin);
	put_text(w, "redirectStdout", o->redirect_stdout);
	put_flag(w, "rejectZero", o->reject_zero);
	put_text(w, "stdin", o->stdin_text);
	put_text(w, "user", o->user);
}

static void write_action(struct buf *out, const struct file_action *a)
{
	static const char *const names[] = {"copy", "mkdir", "mkfile", "symlink", "remove", "times"};
	struct writer w = {out, true};

	put_text(&w, "action", names[a->kind]);
	put_flag(&w, "allowEmpty", a->allow_empty);
	put_flag(&w, "allowMissing", a->allow_missing);
	if (a->kind == FILE_MKFILE) {
		key(&w, "data");
		buf_add_json(out, a->data);
		/* JSON text replaces bytes that are not UTF-8: two such files must still differ. */
		struct digest d;
		char text[DIGEST_TEXT_MAX];
		digest_of(a->data.ptr, a->data.len, &d);
		put_text(&w, "dataDigest", digest_text(&d, text));
	}
	put_text(&w, "dest", a->dest);
	put_flag(&w, "destIsDir", a->dest_is_dir);
	put_flag(&w, "dirContents", a->dir_contents);
	put_flag(&w, "dressTop", a->dress_top);
	put_list(&w, "exclude", a->exclude);
	put_flag(&w, "followLinks", a->follow_links);
	put_list(&w, "include", a->include);
	if (a->kind == FILE_COPY)
		put_number(&w, "input", (uint64_t)(a->input + 1));
	put_flag(&w, "keepOwner", a->keep_owner);
	put_flag(&w, "makeParents", a->make_parents);
	put_text(&w, "mode", a->mode);
	put_number(&w, "namesFrom", (uint64_t)a->names_from);
	put_text(&w, "owner", a->owner);
	put_flag(&w, "parents", a->parents);
	put_flag(&w, "replace", a->replace);
	if (a->kind == FILE_TIMES)
		put_number(&w, "seconds", (uint64_t)a->seconds + 1);
	put_list(&w, "sources", a->sources);
	put_text(&w, "target", a->target);
	put_flag(&w, "unpack", a->unpack);
	put_flag(&w, "wildcard", a->wildcard);
	finish(&w);
}

static void write_file(struct writer *w, const struct op_file *o)
{
	key(w, "actions");
	buf_addc(w->out, '[');
	for (size_t i = 0; i < o->action_count; i++) {
		if (i)
			buf_addc(w->out, ',');
		write_action(w->out, &o->actions[i]);
	}
	buf_addc(w->out, ']');
	put_flag(w, "link", o->link);
}

void op_canonical(const struct op *op, struct buf *out)
{
	struct writer w = {out, true};

	buf_addf(out, "{\"form\":%d,\"op\":\"%s\",\"value\":", FORM, op_kind_name(op->kind));
	switch (op->kind) {
	case OP_IMAGE:
		write_image(&w, &op->image);
		break;
	case OP_GIT:
		write_git(&w, &op->git);
		break;
	case OP_HTTP:
		write_http(&w, &op->http);
		break;
	case OP_LOCAL:
		write_local(&w, &op->local);
		break;
	case OP_EXEC:
		write_exec(&w, &op->exec);
		break;
	case OP_FILE:
		write_file(&w, &op->file);
		break;
	case OP_MOUNT:
		put_text(&w, "target", op->mount.target);
		break;
	case OP_MERGE:
	case OP_DIFF:
		break;
	}
	finish(&w);
	buf_addc(out, '}');
}

char *op_json(const struct op *op)
{
	struct buf b = {0};

	op_canonical(op, &b);
	return buf_steal(&b);
}
