/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/git_tool.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 20
#define SILENCE_S "300"
#define MAX_DEPTH 2000
#define ANSWER_MAX ((size_t)256 << 20)

extern char **environ;

/* Variables that would point git at another repository than the one meant. */
static bool is_repository_variable(const char *entry)
{
	static const char *const names[] = {"GIT_DIR=", "GIT_WORK_TREE=", "GIT_INDEX_FILE=",
		"GIT_OBJECT_DIRECTORY=", "GIT_ALTERNATE_OBJECT_DIRECTORIES=", "GIT_COMMON_DIR=",
		"GIT_NAMESPACE=", "GIT_PREFIX=", "GIT_QUARANTINE_PATH=", "GIT_EXTERNAL_DIFF=", "GIT_TRACE"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (cstr_starts(entry, names[i]))
			return true;
	return false;
}

char *git_http_origin(const char *url)
{
	if (!cstr_starts(url, "http://") && !cstr_starts(url, "https://"))
		return NULL;
	const char *host = strstr(url, "://") + 3;
	return mem_printf("%.*s%.*s/", (int)(host - url), url, (int)strcspn(host, "/?#"), host);
}

/* By variables: what is in an argument list can be read by every user of the machine. */
static void set_auth(const struct git_call *c, struct strvec *env)
{
	uint64_t n = 0;
	const char *count = envlist_get(env, "GIT_CONFIG_COUNT");
	if (count && !str_to_u64(str_c(count), &n))
		n = 0;
	AUTO_FREE char *key_name = mem_printf("GIT_CONFIG_KEY_%llu", (unsigned long long)n);
	AUTO_FREE char *value_name = mem_printf("GIT_CONFIG_VALUE_%llu", (unsigned long long)n);
	AUTO_FREE char *key = mem_printf("http.%s.extraHeader", c->auth_url);
	AUTO_FREE char *total = mem_printf("%llu", (unsigned long long)n + 1);
	envlist_set(env, key_name, key);
	envlist_set(env, value_name, c->auth_header);
	envlist_set(env, "GIT_CONFIG_COUNT", total);
}

static void build_env(const struct git_call *c, struct strvec *env)
{
	for (char **p = environ; p && *p; p++)
		if (!is_repository_variable(*p))
			strvec_push(env, *p);
	envlist_set(env, "GIT_TERMINAL_PROMPT", "0");
	envlist_set(env, "GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file");
	envlist_set(env, "GIT_OPTIONAL_LOCKS", "0");
	envlist_set(env, "LC_ALL", "C");
	/* Without them a server that says nothing any more is waited for without end. */
	if (!envlist_get(env, "GIT_HTTP_LOW_SPEED_LIMIT") && !envlist_get(env, "GIT_HTTP_LOW_SPEED_TIME")) {
		envlist_set(env, "GIT_HTTP_LOW_SPEED_LIMIT", "1");
		envlist_set(env, "GIT_HTTP_LOW_SPEED_TIME", SILENCE_S);
	}
	if (!envlist_get(env, "GIT_SSH_COMMAND") && !envlist_get(env, "GIT_SSH"))
		envlist_set(env, "GIT_SSH_COMMAND",
			"ssh -o BatchMode=yes -o ConnectTimeout=60 -o ServerAliveInterval=60");
	if (c->index)
		envlist_set(env, "GIT_INDEX_FILE", c->index);
	if (c->ca_file)
		envlist_set(env, "GIT_SSL_CAINFO", c->ca_file);
	if (c->auth_url && c->auth_header)
		set_auth(c, env);
}

struct err *git_run(const struct git_call *c, struct buf *out)
{
	AUTO_STRVEC struct strvec env = {0};
	AUTO_STRVEC struct strvec argv = {0};
	AUTO_BUF struct buf ignored = {0};
	strvec_push(&argv, "git");
	static const char *const always[] = {"core.hooksPath=/dev/null", "safe.directory=*", "gc.auto=0",
		"maintenance.auto=false", "core.fsmonitor=false", "advice.detachedHead=false",
		"core.quotePath=false"};
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		strvec_push(&argv, "-c");
		strvec_push(&argv, always[i]);
	}
	if (c->config) {
		strvec_push(&argv, "-c");
		strvec_push(&argv, c->config);
	}
	if (c->git_dir)
		strvec_pushf(&argv, "--git-dir=%s", c->git_dir);
	if (c->work_tree)
		strvec_pushf(&argv, "--work-tree=%s", c->work_tree);
	strvec_push_all(&argv, c->args);
	build_env(c, &env);
	struct process_request rq = {
		.argv = strvec_list(&argv),
		.env = strvec_list(&env),
		.dir = c->work_tree,
		.max_output = ANSWER_MAX,
		.cancel = c->cancel,
	};
	struct err *e = process_run(&rq, out ? out : &ignored, NULL);
	if (e && err_kind(e) == ERR_EXITED) {
		AUTO_FREE char *text = err_text(e);
		const char *said = strstr(text, " ended with status ");
		struct err *short_one =
			err_new(ERR_EXITED, "git %s%s", c->args[0], said ? said : " was killed");
		short_one = err_with_exit_code(short_one, err_exit_code(e));
		err_free(e);
		return short_one;
	}
	return e;
}

static char *take_line(struct buf *b)
{
	struct str s = str_trim(buf_str(b));
	return mem_strndup(s.ptr, s.len);
}

struct err *git_tree_id(
	const char *git_dir, const char *commit, const char *subdir, const struct cancel *cancel, char **out)
{
	AUTO_BUF struct buf answer = {0};
	AUTO_FREE char *clean = path_rooted(subdir ? subdir : "");
	AUTO_FREE char *spec = mem_printf("%s^{commit}:%s", commit, clean);
	const char *const parse[] = {"rev-parse", "--verify", "--end-of-options", spec, NULL};
	struct git_call c = {.git_dir = git_dir, .args = parse, .cancel = cancel};
	struct err *e = git_run(&c, &answer);
	if (err_kind(e) == ERR_EXITED) {
		err_free(e);
		e = err_new(ERR_NOT_FOUND, "there is no directory \"%s\" at commit %s in %s", clean, commit,
			git_dir);
	}
	TRY(e);
	AUTO_FREE char *id = take_line(&answer);
	const char *const type[] = {"cat-file", "-t", id, NULL};
	c.args = type;
	buf_clear(&answer);
	TRY(git_run(&c, &answer));
	if (!str_eq_c(str_trim(buf_str(&answer)), "tree"))
		return err_new(ERR_INVALID, "\"%s\" at commit %s is not a directory", clean, commit);
	*out = steal(&id);
	return NULL;
}

static struct err *entry_type(
	const char *git_dir, const char *commit, const char *path, char mode[8], struct buf *id)
{
	AUTO_BUF struct buf answer = {0};
	const char *const args[] = {"ls-tree", "-z", "--full-tree", commit, "--", path, NULL};
	struct git_call c = {.git_dir = git_dir, .args = args};
	TRY(git_run(&c, &answer));
	mode[0] = '\0';
	struct str line = buf_str(&answer), field;
	if (!line.len || !str_split(&line, ' ', &field) || field.len > 6)
		return NULL;
	memcpy(mode, field.ptr, field.len);
	mode[field.len] = '\0';
	if (str_split(&line, ' ', &field) && str_split(&line, '\t', &field))
		buf_addstr(id, field);
	return NULL;
}

struct err *git_read_file(
	const char *git_dir, const char *commit, const char *path, size_t max, struct buf *out, bool *found)
{
	AUTO_FREE char *at = mem_strdup(path);
	*found = false;
	for (int links = 0; links < MAX_LINKS; links++) {
		char mode[8];
		AUTO_BUF struct buf id = {0};
		AUTO_BUF struct buf bytes = {0};
		if (!*at)
			return NULL;
		TRY(entry_type(git_dir, commit, at, mode, &id));
		if (!mode[0])
			return NULL;
		if (mode[0] != '1' || mode[1] == '6')
			return err_new(ERR_INVALID, "%s at commit %.12s is not a regular file", path, commit);
		const char *const args[] = {"cat-file", "blob", buf_cstr(&id), NULL};
		struct git_call c = {.git_dir = git_dir, .args = args};
		TRY(git_run(&c, &bytes));
		if (mode[1] == '2') {
			AUTO_FREE char *dir = path_dir(at);
			AUTO_FREE char *next = path_resolve(dir, buf_cstr(&bytes));
			free(at);
			at = path_rooted(next);
			continue;
		}
		if (bytes.len > max)
			return err_new(ERR_INVALID, "%s is larger than %zu bytes", path, max);
		buf_add(out, bytes.ptr, bytes.len);
		*found = true;
		return NULL;
	}
	return err_new(ERR_INVALID, "%s at commit %.12s: too many links", path, commit);
}

struct err *git_submodules(
	const char *git_dir, const char *tree, const struct cancel *cancel, struct strvec *paths)
{
	AUTO_BUF struct buf answer = {0};
	const char *const list[] = {"ls-tree", "-r", "-z", "--full-tree", tree, NULL};
	struct git_call c = {.git_dir = git_dir, .args = list, .cancel = cancel};
	struct str rest, item, field;
	TRY(git_run(&c, &answer));
	rest = buf_str(&answer);
	while (str_split(&rest, '\0', &item))
		if (str_starts(item, "160000 ") && str_split(&item, '\t', &field) && item.ptr)
			strvec_push_str(paths, item);
	return NULL;
}

static struct err *normalize(int fd, const struct timespec *t, int depth);

static struct err *normalize_one(int dirfd, const char *name, const struct timespec *t, int depth)
{
	struct timespec times[2] = {*t, *t};
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "reading %s", name);
	if (S_ISDIR(st.st_mode)) {
		int sub = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(errno, "opening %s", name);
		return normalize(sub, t, depth + 1);
	}
	if (S_ISREG(st.st_mode) && fchmodat(dirfd, name, st.st_mode & 0100 ? 0755 : 0644, 0) < 0)
		return err_sys(errno, "setting the mode of %s", name);
	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "setting the times of %s", name);
	return NULL;
}

/* Takes fd. */
static struct err *normalize(int fd, const struct timespec *t, int depth)
{
	DIR *d = depth < MAX_DEPTH ? fdopendir(fd) : NULL;
	struct timespec times[2] = {*t, *t};
	if (!d) {
		close(fd);
		return err_new(ERR_INVALID, "directories are nested too deeply");
	}
	struct err *e = NULL;
	struct dirent *de;
	while (!e && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			e = normalize_one(dirfd(d), de->d_name, t, depth);
	if (!e && (fchmod(dirfd(d), 0755) < 0 || futimens(dirfd(d), times) < 0))
		e = err_sys(errno, "setting the times of a directory");
	closedir(d);
	return e;
}

struct err *git_normalize(int fd, int64_t mtime)
{
	struct timespec t = timespec_of_ns(mtime);
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return err_sys(errno, "opening a checkout");
	return normalize(own, &t, 0);
}

struct err *git_export(const struct git_export *x)
{
	AUTO_FREE char *index = mem_printf("%s/index", x->scratch);
	AUTO_FD int fd = -1;
	const char *const read_tree[] = {"read-tree", x->tree, NULL};
	const char *const checkout[] = {"checkout-index", "--all", "--force", "--quiet", NULL};
	struct git_call c = {.git_dir = x->git_dir,
		.work_tree = x->dir,
		.index = index,
		.args = read_tree,
		.cancel = x->cancel};
	AUTO_FREE char *absolute = realpath(x->git_dir, NULL);
	if (!absolute)
		return err_sys(errno, "opening the repository %s", x->git_dir);
	c.git_dir = absolute;
	TRY(git_run(&c, NULL));
	c.args = checkout;
	TRY(git_run(&c, NULL));
	TRY(file_open(AT_FDCWD, x->dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	return git_normalize(fd, x->mtime);
}
