/* SPDX-License-Identifier: Apache-2.0 */
#include "http/listen.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define BACKLOG 1024

static struct err *split_address(const char *address, char **host, char **port)
{
	struct str text = str_c(address);
	ptrdiff_t colon = str_rindex(text, ':');
	struct err *bad = NULL;
	uint64_t number;
	if (colon < 0 || !str_to_u64(str_skip(text, (size_t)colon + 1), &number) || number > 65535)
		bad = err_new(ERR_INVALID, "'%s' is not an address to listen on", address);
	if (bad)
		return err_hint(bad, "write host:port, as in 127.0.0.1:5000 or [::1]:5000");
	struct str name = str_n(text.ptr, (size_t)colon);
	if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
		name = str_n(name.ptr + 1, name.len - 2);
	*host = name.len ? mem_strndup(name.ptr, name.len) : NULL;
	*port = mem_strdup(address + colon + 1);
	return NULL;
}

static struct err *open_one(const char *address, const struct addrinfo *ai, int *out, uint16_t *port)
{
	AUTO_FD int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	int on = 1;
	if (fd < 0)
		return err_sys(errno, "opening a socket for %s", address);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return err_sys(errno, "preparing to listen on %s", address);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		if (errno != EADDRINUSE)
			return err_sys(errno, "listening on %s", address);
		struct err *e = err_new(ERR_EXISTS, "listening on %s: the address is in use", address);
		return err_hint(e, "another server runs there: stop it, or choose another port");
	}
	struct sockaddr_storage bound = {0};
	socklen_t len = sizeof(bound);
	if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
		return err_sys(errno, "asking for the port of %s", address);
	*port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						  : ((struct sockaddr_in *)&bound)->sin_port);
	*out = steal_fd(&fd);
	return NULL;
}

struct err *listen_open(const char *address, int *fd, uint16_t *port)
{
	AUTO_FREE char *host = NULL, *service = NULL;
	TRY(split_address(address, &host, &service));
	struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
			*list = NULL;
	int rc = getaddrinfo(host, service, &want, &list);
	if (rc != 0)
		return err_new(ERR_INVALID, "listening on %s: %s", address, gai_strerror(rc));
	struct err *e = open_one(address, list, fd, port);
	freeaddrinfo(list);
	return e;
}
