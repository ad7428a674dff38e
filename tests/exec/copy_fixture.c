/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_fixture.h"

#include "base/buf.h"
#include "base/vec.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void fails(struct err *e, enum err_kind kind, const char *text)
{
	assert_non_null(e);
	AUTO_FREE char *all = err_text(e);
	const char *hint = err_hint_text(e);
	if (err_kind(e) != kind)
		fail_msg("\"%s\" is %s, not %s", all, err_kind_name(err_kind(e)), err_kind_name(kind));
	if (!strstr(all, text) && !(hint && strstr(hint, text)))
		fail_msg("\"%s\" (hint \"%s\") lacks \"%s\"", all, hint ? hint : "", text);
	err_free(e);
}

void world_executor(struct world *w)
{
	sandbox_executor_free(w->ex);
	struct sandbox_executor_options opt = {
		.store = w->store, .locals = &w->local, .local_count = 1, .epoch = EPOCH};
	OK(sandbox_executor_new(&opt, &w->ex));
}

bool world_enter(void)
{
	struct err *e = userns_enter();
	bool may = !e && !userns_one_id(); /* the cases set owners */
	err_free(e);
	return may;
}

void world_open(struct world *w)
{
	*w = (struct world){0};
	snprintf(w->dir, sizeof(w->dir), "/tmp/test-exec-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->context, sizeof(w->context), "%s/context", w->dir);
	AUTO_FREE char *home = mem_printf("%s/home", w->dir);
	OK(dir_make_all(AT_FDCWD, w->context, 0755));
	OK(store_open(home, NULL, &w->store));
	w->local = (struct local_source){.name = "context", .dir = w->context};
	w->graph = graph_new();
	world_executor(w);
}

void world_close(struct world *w)
{
	sandbox_executor_free(w->ex);
	graph_free(w->graph);
	store_close(w->store);
	OK(tree_remove(AT_FDCWD, w->dir));
}

static char *word(char **line)
{
	*line += strspn(*line, " ");
	char *start = *line;
	*line += strcspn(*line, " ");
	if (**line)
		*(*line)++ = '\0';
	return *start ? start : NULL;
}

static void make_file(int dirfd, const char *path, char *rest)
{
	unsigned mode = 0644;
	char *content = strstr(rest, "= ");
	if (content) {
		*content = '\0';
		content += 2;
	}
	char *m = word(&rest);
	if (m)
		mode = (unsigned)strtoul(m, NULL, 8);
	AUTO_FD int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (content)
		assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(fchmod(fd, mode), 0);
}

static void make_one(int dirfd, char *line)
{
	char *kind = word(&line);
	char *path = word(&line);
	struct timespec t = {.tv_sec = 1600000000}, times[2] = {t, t};
	if (!kind)
		return;
	switch (*kind) {
	case 'd': {
		char *m = word(&line);
		OK(dir_make_all(dirfd, path, 0755));
		assert_int_equal(fchmodat(dirfd, path, m ? (mode_t)strtoul(m, NULL, 8) : 0755, 0), 0);
		break;
	}
	case 'f':
		make_file(dirfd, path, line);
		break;
	case 'l':
		assert_int_equal(symlinkat(line, dirfd, path), 0);
		break;
	case 'h':
		assert_int_equal(linkat(dirfd, line, dirfd, path, 0), 0);
		break;
	case 'p':
		assert_int_equal(mkfifoat(dirfd, path, 0644), 0);
		break;
	case 'o': {
		char *uid = word(&line);
		assert_int_equal(
			fchownat(dirfd, path, (uid_t)atoi(uid), (gid_t)atoi(line), AT_SYMLINK_NOFOLLOW), 0);
		break;
	}
	case 'x': {
		AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
		char *name = word(&line);
		OK(xattr_set(fd, name, line, strlen(line)));
		break;
	}
	default:
		fail_msg("what is \"%s\"", kind);
	}
	utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW);
}

static void set_dir_times(int dirfd, const char *lines)
{
	struct str rest = str_c(lines), line;
	struct timespec t = {.tv_sec = 1600000000}, times[2] = {t, t};
	while (str_split(&rest, '\n', &line)) {
		AUTO_FREE char *copy = mem_strndup(line.ptr, line.len);
		char *at = copy;
		char *kind = word(&at), *path = word(&at);
		if (kind && *kind == 'd')
			utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW);
	}
}

void make_files(int dirfd, const char *lines)
{
	struct str rest = str_c(lines), line;
	while (str_split(&rest, '\n', &line)) {
		AUTO_FREE char *copy = mem_strndup(line.ptr, line.len);
		make_one(dirfd, copy);
	}
	set_dir_times(dirfd, lines);
}

void make_context(struct world *w, const char *lines)
{
	AUTO_FD int fd = -1;
	OK(file_open(AT_FDCWD, w->context, O_RDONLY | O_DIRECTORY, 0, &fd));
	make_files(fd, lines);
}

static void list_one(int dirfd, const char *name, const char *path, struct strvec *out);

static void list_dir(int dirfd, const char *name, const char *path, struct strvec *out)
{
	AUTO_STRVEC struct strvec names = {0};
	OK(dir_list(dirfd, name, &names));
	AUTO_FD int fd = -1;
	OK(file_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0, &fd));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *sub =
			*path ? mem_printf("%s/%s", path, names.ptr[i]) : mem_strdup(names.ptr[i]);
		list_one(fd, names.ptr[i], sub, out);
	}
}

static void list_one(int dirfd, const char *name, const char *path, struct strvec *out)
{
	struct stat st;
	AUTO_BUF struct buf extra = {0};
	assert_int_equal(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	char kind = S_ISDIR(st.st_mode)    ? 'd'
		    : S_ISLNK(st.st_mode)  ? 'l'
		    : S_ISREG(st.st_mode)  ? 'f'
		    : S_ISCHR(st.st_mode)  ? 'c'
		    : S_ISFIFO(st.st_mode) ? 'p'
					   : '?';
	if (kind == 'f' && st.st_size) {
		buf_adds(&extra, " = ");
		OK(file_read(dirfd, name, 1 << 20, &extra));
	} else if (kind == 'l') {
		char target[4096];
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
		buf_addf(&extra, " -> %.*s", (int)n, target);
	}
	if (st.st_mtim.tv_sec != EPOCH / 1000000000 && kind != 'c')
		buf_addf(&extra, " @%lld", (long long)st.st_mtim.tv_sec);
	strvec_pushf(out, "%c %o %u:%u %s%s", kind, kind == 'l' || kind == 'c' ? 0 : st.st_mode & 07777,
		st.st_uid, st.st_gid, path, buf_cstr(&extra));
	if (kind == 'd')
		list_dir(dirfd, name, path, out);
}

char *list_files(int dirfd)
{
	AUTO_STRVEC struct strvec lines = {0};
	AUTO_BUF struct buf b = {0};
	list_dir(dirfd, ".", "", &lines);
	for (size_t i = 0; i < lines.len; i++)
		buf_addf(&b, "%s%s", i ? "\n" : "", lines.ptr[i]);
	return mem_strdup(buf_cstr(&b));
}

void add_layer(struct world *w, struct snapshot *s, const char *lines)
{
	struct store_tree_writer *t = NULL;
	struct layer l = {0};
	OK(store_tree_begin(w->store, &t));
	make_files(store_tree_fd(t), lines);
	OK(store_tree_commit(t, 0, l.tree));
	OK(store_layer_add(w->store, &l));
	strvec_push(&s->layers, l.id);
}

struct node *context_node(struct world *w, const char *const *exclude)
{
	struct op op = {.kind = OP_LOCAL, .local = {.name = "context", .exclude = exclude}};
	struct node_label label = {.name = "context"};
	struct node *n = NULL;
	OK(graph_node(w->graph, &op, NULL, 0, &label, &n));
	return n;
}

struct node *file_node(struct world *w, const struct op_file *f, struct node *base, struct node *from)
{
	struct op op = {.kind = OP_FILE, .file = *f};
	struct node_label label = {.name = "COPY"};
	struct node *inputs[2] = {base, from}, *n = NULL;
	OK(graph_node(w->graph, &op, inputs, 2, &label, &n));
	return n;
}

/* Any node that is not local: only its label is looked at. */
static struct node *stage_node(struct world *w)
{
	struct op op = {
		.kind = OP_IMAGE, .image = {.ref = "docker.io/library/stage:1", .platform = "linux/amd64"}};
	struct node_label label = {.name = "stage"};
	struct node *n = NULL;
	OK(graph_node(w->graph, &op, NULL, 0, &label, &n));
	return n;
}

struct err *run_file(struct world *w, const struct op_file *op, const struct snapshot *base,
	const struct snapshot *from, struct snapshot *out)
{
	static const struct snapshot scratch;
	struct node *n =
		file_node(w, op, base ? stage_node(w) : NULL, from ? stage_node(w) : context_node(w, NULL));
	const struct snapshot *inputs[2] = {base ? base : &scratch, from};
	return w->ex->ops->run(w->ex, n, inputs, &w->io, out);
}

char *list_top(struct world *w, const struct snapshot *s)
{
	struct layer l;
	bool found;
	AUTO_FD int fd = -1;
	OK(store_layer_get(w->store, s->layers.ptr[s->layers.len - 1], &l, &found));
	AUTO_FREE char *dir = store_tree_dir(w->store, l.tree);
	OK(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	return list_files(fd);
}
