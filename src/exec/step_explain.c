/* SPDX-License-Identifier: Apache-2.0 */
/* Saying why a program could not be started, or how it ended. */
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMAND_SHOWN 2000
#define HEAD_MAX 4096
enum { EXIT_NOT_RUNNABLE = 126, EXIT_NOT_FOUND = 127 };

static char *joined(const char *const *argv)
{
	AUTO_BUF struct buf b = {0};
	for (size_t i = 0; argv[i]; i++)
		buf_addf(&b, "%s%s", i ? " " : "", argv[i]);
	if (b.len > COMMAND_SHOWN) {
		buf_truncate(&b, COMMAND_SHOWN);
		buf_adds(&b, "...");
	}
	return b.len ? buf_steal(&b) : mem_strdup("");
}

static const char *env_value(const char *const *env, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; env[i]; i++) {
		if (strncmp(env[i], key, len) == 0 && env[i][len] == '=')
			return env[i] + len + 1;
	}
	return NULL;
}

static bool is_there(int rootfd, const char *path)
{
	struct stat st;
	struct err *e = root_stat(rootfd, path, true, &st);
	bool there = !e;
	err_ignore(e, "asked for");
	return there;
}

/* The file that execve would have been given; NULL if there is none. Caller frees. */
static char *find_program(const struct step *s, int rootfd, const char *name, const char *path)
{
	if (strchr(name, '/')) {
		char *full = path_resolve(s->op->cwd, name);
		if (!is_there(rootfd, full))
			mem_freep(&full);
		return full;
	}
	struct str rest = str_c(path), dir;
	while (str_split(&rest, ':', &dir)) {
		AUTO_FREE char *full = mem_printf(STR_FMT "/%s", STR_ARG(dir), name);
		if (is_there(rootfd, full))
			return steal(&full);
	}
	return NULL;
}

static const char *machine_name(unsigned machine)
{
	static const struct {
		unsigned machine;
		const char *name;
	} names[] = {{EM_X86_64, "amd64"}, {EM_386, "386"}, {EM_AARCH64, "arm64"}, {EM_ARM, "arm"},
		{EM_RISCV, "riscv64"}, {EM_PPC64, "ppc64le"}, {EM_S390, "s390x"}, {EM_MIPS, "mips"},
		{258 /* EM_LOONGARCH */, "loong64"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].machine == machine)
			return names[i].name;
	}
	return NULL;
}

static unsigned own_machine(void)
{
	struct err *e;
	AUTO_FD int fd = -1;
	e = file_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, &fd);
	Elf64_Ehdr h = {0};
	bool read_it = !e && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
	err_ignore(e, "then it is not known");
	return read_it ? h.e_machine : EM_NONE;
}

/* The loader an ELF file names, "" if none. Hostile: every offset is checked. */
static void elf_loader(int fd, char out[256])
{
	out[0] = 0;
	Elf64_Ehdr h;
	if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || h.e_ident[EI_CLASS] != ELFCLASS64 ||
		h.e_phentsize != sizeof(Elf64_Phdr))
		return;
	for (unsigned i = 0; i < h.e_phnum && i < 128; i++) {
		Elf64_Phdr ph;
		if (h.e_phoff > INT32_MAX ||
			pread(fd, &ph, sizeof ph, (off_t)(h.e_phoff + i * sizeof ph)) != (ssize_t)sizeof ph)
			return;
		if (ph.p_type != PT_INTERP || ph.p_filesz >= 256 || ph.p_offset > INT32_MAX)
			continue;
		ssize_t n = pread(fd, out, ph.p_filesz, (off_t)ph.p_offset);
		out[n > 0 ? n : 0] = 0;
		return;
	}
}

static struct err *explain_elf(int rootfd, int fd, const char *path, const char *head, struct err *e)
{
	uint16_t machine;
	memcpy(&machine, head + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
	if (machine != own_machine()) {
		const char *theirs = machine_name(machine), *ours = machine_name(own_machine());
		e = err_wrap(e, "%s is a program for %s, this machine is %s", path,
			theirs ? theirs : "another architecture", ours ? ours : "another");
		return err_hint(e, "choose an image for this platform (--platform), or install "
				   "qemu-user-static and binfmt-support "
				   "to run it by emulation");
	}
	char loader[256];
	elf_loader(fd, loader);
	if (loader[0] && !is_there(rootfd, loader)) {
		e = err_wrap(e, "%s needs %s, which does not exist in this image", path, loader);
		return err_hint(e, "the program was linked for another C library: build it in this image, or "
				   "link it statically");
	}
	return err_wrap(e, "%s cannot be executed", path);
}

static struct err *explain_script(int rootfd, const char *path, const char *head, struct err *e)
{
	struct str rest = str_c(head + 2), line = {0}, word = {0};
	str_split(&rest, '\n', &line);
	bool dos = line.len && line.ptr[line.len - 1] == '\r';
	line = str_trim(line);
	str_split(&line, ' ', &word);
	AUTO_FREE char *interpreter = mem_strndup(word.ptr, word.len);
	if (dos)
		return err_hint(err_wrap(e,
					"the script %s has DOS line ends, so its interpreter \"%s\\r\" does "
					"not exist",
					path, interpreter),
			"convert it to Unix line ends");
	if (!is_there(rootfd, interpreter))
		return err_hint(err_wrap(e, "the script %s wants %s, which does not exist in this image",
					path, interpreter),
			"install it, or change the script's first line");
	return err_wrap(e, "%s cannot be executed", path);
}

static struct err *explain_file(int rootfd, const char *path, struct err *e)
{
	struct stat st;
	err_ignore(root_stat(rootfd, path, true, &st), "it was there just now");
	if (S_ISDIR(st.st_mode))
		return err_wrap(e, "%s is a directory", path);
	if (err_sysno(e) == EACCES && !(st.st_mode & 0111))
		return err_hint(err_wrap(e, "%s is not executable", path),
			"RUN chmod +x %s, or COPY --chmod=755", path);
	AUTO_FD int fd = -1;
	struct err *opened = root_open(rootfd, path, O_RDONLY | O_NONBLOCK, 0, &fd);
	err_ignore(opened, "then there is less to say");
	char head[HEAD_MAX + 1];
	ssize_t n = fd >= 0 ? pread(fd, head, HEAD_MAX, 0) : -1;
	if (n < 0)
		return err_wrap(e, "%s cannot be executed", path);
	head[n] = 0;
	if (n >= (ssize_t)sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
		return explain_elf(rootfd, fd, path, head, e);
	if (n > 2 && head[0] == '#' && head[1] == '!')
		return explain_script(rootfd, path, head, e);
	if (err_sysno(e) == ENOEXEC)
		return err_hint(
			err_wrap(e, "%s is neither a program nor a script with a first line like #!/bin/sh",
				path),
			"add that line, or run it with its interpreter");
	return err_wrap(e, "%s cannot be executed", path);
}

static struct err *explain_absent(const char *name, const char *path)
{
	if (strcmp(name, "/bin/sh") == 0)
		return err_hint(err_new(ERR_EXITED, "/bin/sh does not exist in this image"),
			"use the exec form, RUN [\"/path/to/program\", \"argument\"], or begin with an image "
			"that has a shell");
	if (strchr(name, '/'))
		return err_hint(err_new(ERR_EXITED, "%s does not exist in this image", name),
			"check the path, and that an earlier step puts it there");
	return err_hint(err_new(ERR_EXITED, "%s is not in PATH (%s) of this image", name, path),
		"install it in an earlier step, or give its whole path");
}

struct err *step_explain_exec(
	const struct step *s, int rootfd, const char *const *argv, const char *const *env, struct err *e)
{
	const char *path = env_value(env, "PATH");
	int sysno = err_sysno(e);
	if (sysno == E2BIG)
		return err_hint(err_wrap(e, "arguments and environment of %s are too large", argv[0]),
			"an argument may have 128 KiB: put the text into a file (COPY, or a heredoc)");
	AUTO_FREE char *program = find_program(s, rootfd, argv[0], path ? path : "");
	struct err *why;
	bool absent = !program;
	if (absent) {
		err_ignore(e, "said better");
		why = explain_absent(argv[0], path ? path : "");
	} else {
		AUTO_FREE char *text = NULL;
		struct err *inner = explain_file(rootfd, program, e);
		text = err_text(inner);
		const char *hint = err_hint_text(inner);
		why = err_new(ERR_EXITED, "%s", text);
		if (hint)
			why = err_hint(why, "%s", hint);
		err_ignore(inner, "its text is kept");
	}
	return err_with_exit_code(why, absent || sysno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE);
}

struct err *step_exit_error(const struct step *s, const char *const *argv, const struct step_end *end)
{
	(void)s;
	AUTO_FREE char *command = joined(argv);
	const char *name = end->signal ? sigabbrev_np(end->signal) : NULL;
	struct err *e;
	if (end->signal)
		e = err_new(ERR_EXITED,
			"process \"%s\" did not complete successfully: killed by signal %d (SIG%s)", command,
			end->signal, name ? name : "?");
	else
		e = err_new(ERR_EXITED, "process \"%s\" did not complete successfully: exit code %d", command,
			end->code);
	if (end->code == 128 + 9)
		e = err_hint(e, "nothing in cooper killed it: the kernel may have run out of memory (dmesg | "
				"grep -i oom)");
	return err_with_exit_code(e, end->code);
}
