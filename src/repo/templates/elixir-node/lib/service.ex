defmodule Service.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      {Task.Supervisor, name: Service.Connections},
      {Service.Web, String.to_integer(System.get_env("PORT", "8080"))}
    ]

    Supervisor.start_link(children, strategy: :rest_for_one, name: Service.Supervisor)
  end
end

defmodule Service.Web do
  @moduledoc "Answers with the files that Node bundled, one request a connection: where to begin."
  use Task, restart: :permanent
  require Logger

  @types %{".html" => "text/html; charset=utf-8", ".js" => "text/javascript; charset=utf-8"}

  def start_link(port), do: Task.start_link(__MODULE__, :run, [port])

  def run(port) do
    {:ok, socket} = :gen_tcp.listen(port, [:binary, packet: :http_bin, active: false, reuseaddr: true, send_timeout: 10_000])
    Logger.info("@NAME@ #{Application.spec(:service, :vsn)} on port #{port}")
    accept(socket)
  end

  defp accept(socket) do
    {:ok, client} = :gen_tcp.accept(socket)
    {:ok, pid} = Task.Supervisor.start_child(Service.Connections, fn -> receive do: (:yours -> serve(client)) end)
    with :ok <- :gen_tcp.controlling_process(client, pid), do: send(pid, :yours)
    accept(socket)
  end

  defp serve(client) do
    with {:ok, {:http_request, :GET, {:abs_path, path}, _}} <- :gen_tcp.recv(client, 0, 10_000),
         :ok <- skip_headers(client) do
      answer(client, path |> String.split("?") |> hd() |> String.trim_leading("/"))
    end

    :gen_tcp.close(client)
  end

  defp skip_headers(client) do
    case :gen_tcp.recv(client, 0, 10_000) do
      {:ok, {:http_header, _, _, _, _}} -> skip_headers(client)
      {:ok, :http_eoh} -> :ok
      other -> other
    end
  end

  defp answer(client, ""), do: answer(client, "index.html")
  defp answer(client, "healthz"), do: reply(client, "200 OK", "text/plain", "ok\n")

  defp answer(client, name) do
    folder = Application.app_dir(:service, "priv/static")

    # Only a name that is listed there leads to a file, so none leads elsewhere.
    if name in File.ls!(folder) do
      reply(client, "200 OK", @types[Path.extname(name)] || "application/octet-stream", File.read!(Path.join(folder, name)))
    else
      reply(client, "404 Not Found", "text/plain", "not found\n")
    end
  end

  defp reply(client, status, type, body) do
    head = "HTTP/1.1 #{status}\r\nContent-Type: #{type}\r\nContent-Length: #{byte_size(body)}\r\nConnection: close\r\n\r\n"
    :gen_tcp.send(client, [head, body])
  end
end
