defmodule Groceries.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      {Registry, keys: :duplicate, name: Groceries.Followers},
      {Groceries.Store, System.get_env("GROCERIES_FILE", "/data/groceries.txt")},
      {Task.Supervisor, name: Groceries.Connections},
      {Groceries.Web, String.to_integer(System.get_env("PORT", "8080"))}
    ]

    Supervisor.start_link(children, strategy: :rest_for_one, name: Groceries.Supervisor)
  end
end
