/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "exec/executor_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct comparing {
	struct file_tree *a, *b;
	size_t max;
	struct strvec *out;
};

static void say(struct comparing *c, char letter, const char *path, const char *what)
{
	if (c->out->len < c->max)
		strvec_pushf(c->out, "%c %s%s%s", letter, path, what ? ": " : "", what ? what : "");
}

static struct err *content_of(struct file_tree *t, struct file_entry *e)
{
	struct vec one = VEC_OF(struct picked);
	struct picked *k = vec_push(&one);
	k->entry = e;
	k->rel = "";
	struct err *err = file_tree_hash(t, &one, NULL);
	vec_fini(&one);
	return err;
}

static struct err *same_content(struct comparing *c, struct file_entry *x, struct file_entry *y, bool *same)
{
	*same = false;
	if (S_ISREG(x->mode) && x->key.size != y->key.size)
		return NULL;
	if (S_ISREG(x->mode)) {
		TRY(content_of(c->a, x));
		TRY(content_of(c->b, y));
	}
	*same = x->has_content == y->has_content &&
		(!x->has_content || memcmp(x->content, y->content, 32) == 0);
	if (S_ISLNK(x->mode))
		*same = strcmp(x->link, y->link) == 0;
	if (S_ISCHR(x->mode) || S_ISBLK(x->mode))
		*same = x->rdev == y->rdev;
	return NULL;
}

static const char *content_word(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "attributes";
	case S_IFLNK:
		return "target";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	default:
		return "content";
	}
}

static struct err *compare_entry(
	struct comparing *c, struct file_entry *x, struct file_entry *y, const char *path)
{
	AUTO_BUF struct buf what = {0};
	bool same = true;
	if ((x->mode & S_IFMT) != (y->mode & S_IFMT)) {
		say(c, 'M', path, "type");
		return NULL;
	}
	TRY(same_content(c, x, y, &same));
	if (!same)
		buf_addf(&what, ", %s", content_word(x->mode));
	if ((x->mode & 07777) != (y->mode & 07777))
		buf_addf(&what, ", mode %04o and %04o", x->mode & 07777, y->mode & 07777);
	if (x->uid != y->uid || x->gid != y->gid)
		buf_addf(&what, ", owner %u:%u and %u:%u", x->uid, x->gid, y->uid, y->gid);
	/* Seconds, as a tar records them. */
	if (x->key.mtime / INT64_C(1000000000) != y->key.mtime / INT64_C(1000000000))
		buf_adds(&what, ", time");
	if (what.len)
		say(c, 'M', path, buf_cstr(&what) + 2);
	return NULL;
}

static struct err *compare_dirs(
	struct comparing *c, struct file_entry *a, struct file_entry *b, const char *at);

static struct err *compare_pair(
	struct comparing *c, struct file_entry *x, struct file_entry *y, const char *at)
{
	struct file_entry *any = x ? x : y;
	AUTO_FREE char *path = *at ? mem_printf("%s/%s", at, any->name) : mem_strdup(any->name);
	if (!x || !y) {
		say(c, x ? 'D' : 'A', path, NULL);
		return NULL;
	}
	TRY(compare_entry(c, x, y, path));
	if (S_ISDIR(x->mode) && S_ISDIR(y->mode))
		return compare_dirs(c, x, y, path);
	return NULL;
}

static struct err *compare_dirs(
	struct comparing *c, struct file_entry *a, struct file_entry *b, const char *at)
{
	struct file_entry *const *x, *const *y;
	size_t n, m, i = 0, j = 0;
	TRY(file_tree_children(c->a, a, &x, &n));
	TRY(file_tree_children(c->b, b, &y, &m));
	while ((i < n || j < m) && c->out->len < c->max) {
		int order = i == n ? 1 : j == m ? -1 : strcmp(x[i]->name, y[j]->name);
		struct file_entry *left = order <= 0 ? x[i++] : NULL;
		struct file_entry *right = order >= 0 ? y[j++] : NULL;
		TRY(compare_pair(c, left, right, at));
	}
	return NULL;
}

static struct err *open_layer(struct executor *ex, const char *id, struct file_tree **out)
{
	struct layer l;
	int fd = -1;
	TRY(layer_need_tree(ex, id, NULL, &l));
	AUTO_FREE char *dir = store_tree_dir(sandbox_of(ex)->store, l.tree);
	TRY(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	struct file_tree_options opt = {.what = id};
	return file_tree_new(fd, &opt, out);
}

struct err *layers_compare(
	struct executor *ex, const char *layer_a, const char *layer_b, size_t max, struct strvec *out)
{
	AUTO(file_tree_freep) struct file_tree *a = NULL;
	AUTO(file_tree_freep) struct file_tree *b = NULL;
	TRY(open_layer(ex, layer_a, &a));
	TRY(open_layer(ex, layer_b, &b));
	struct comparing c = {.a = a, .b = b, .max = max, .out = out};
	return compare_dirs(&c, file_tree_root(a), file_tree_root(b), "");
}
