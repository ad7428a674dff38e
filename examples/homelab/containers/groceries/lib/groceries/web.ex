defmodule Groceries.Web do
  @moduledoc """
  HTTP, one request a connection:

      GET /api/groceries          the things, one a line
      PUT|DELETE /api/groceries/x adds x, takes it away
      GET /api/events             the things, again whenever they change (server-sent events)
      GET /healthz, /, /app.js    the page
  """
  use Task, restart: :permanent
  require Logger

  @options [:binary, packet: :http_bin, active: false, reuseaddr: true, backlog: 64, send_timeout: 10_000]
  @patience 10_000
  @types %{".html" => "text/html; charset=utf-8", ".js" => "text/javascript; charset=utf-8"}

  def start_link(port), do: Task.start_link(__MODULE__, :run, [port])

  def run(port) do
    {:ok, socket} = :gen_tcp.listen(port, @options)
    Logger.info("groceries #{Application.spec(:groceries, :vsn)} on port #{port}")
    accept(socket)
  end

  defp accept(socket) do
    {:ok, client} = :gen_tcp.accept(socket)

    {:ok, pid} =
      Task.Supervisor.start_child(Groceries.Connections, fn ->
        receive do: (:yours -> serve(client))
      end)

    with :ok <- :gen_tcp.controlling_process(client, pid), do: send(pid, :yours)
    accept(socket)
  end

  defp serve(client) do
    with {:ok, {:http_request, method, {:abs_path, path}, _}} <- :gen_tcp.recv(client, 0, @patience),
         :ok <- skip_headers(client) do
      answer(client, method, path |> String.split("?") |> hd() |> String.split("/", trim: true))
    end

    :gen_tcp.close(client)
  end

  defp skip_headers(client) do
    case :gen_tcp.recv(client, 0, @patience) do
      {:ok, {:http_header, _, _, _, _}} -> skip_headers(client)
      {:ok, :http_eoh} -> :ok
      other -> other
    end
  end

  defp answer(client, :GET, ["healthz"]), do: reply(client, "200 OK", "ok\n")
  defp answer(client, :GET, ["api", "groceries"]), do: reply(client, "200 OK", Enum.map(Groceries.Store.all(), &[&1, ?\n]))
  defp answer(client, :GET, ["api", "events"]), do: events(client)
  defp answer(client, :PUT, ["api", "groceries", thing]), do: change(client, &Groceries.Store.add/1, thing)
  defp answer(client, :DELETE, ["api", "groceries", thing]), do: change(client, &Groceries.Store.remove/1, thing)
  defp answer(client, :GET, []), do: answer(client, :GET, ["index.html"])

  defp answer(client, :GET, [name]) do
    folder = Application.app_dir(:groceries, "priv/static")

    # Only a name that is listed there leads to a file, so none leads elsewhere.
    if name in File.ls!(folder) do
      reply(client, "200 OK", File.read!(Path.join(folder, name)), @types[Path.extname(name)] || "application/octet-stream")
    else
      reply(client, "404 Not Found", "not found\n")
    end
  end

  defp answer(client, _, _), do: reply(client, "404 Not Found", "not found\n")

  defp change(client, change, thing) do
    thing = thing |> decode() |> String.trim()

    cond do
      not String.printable?(thing) or thing == "" or String.contains?(thing, "\n") or String.length(thing) > 100 ->
        reply(client, "400 Bad Request", "a line of at most 100 characters\n")

      change.(thing) == :ok ->
        reply(client, "200 OK", "ok\n")

      true ->
        reply(client, "500 Internal Server Error", "cannot write\n")
    end
  end

  defp decode(text) do
    URI.decode(text)
  rescue
    ArgumentError -> ""
  end

  defp reply(client, status, body, type \\ "text/plain; charset=utf-8") do
    head = "HTTP/1.1 #{status}\r\nContent-Type: #{type}\r\nContent-Length: #{IO.iodata_length(body)}\r\nConnection: close\r\n\r\n"
    :gen_tcp.send(client, [head, body])
  end

  defp events(client) do
    Groceries.Store.follow()
    :gen_tcp.send(client, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")
    follow(client)
  end

  defp follow(client) do
    text =
      receive do
        {:groceries, things} -> [Enum.map(things, &["data: ", &1, ?\n]), "data:\n\n"]
      after
        15_000 -> ":\n\n"
      end

    with :ok <- :gen_tcp.send(client, text), do: follow(client)
  end
end
