defmodule Groceries.Store do
  @moduledoc "What to buy, in the order in which it was added. A file keeps it, one thing a line."
  use GenServer

  def start_link(file), do: GenServer.start_link(__MODULE__, file, name: __MODULE__)

  def all, do: GenServer.call(__MODULE__, :all)
  def add(thing), do: GenServer.call(__MODULE__, {:change, &Enum.uniq(&1 ++ [thing])})
  def remove(thing), do: GenServer.call(__MODULE__, {:change, &List.delete(&1, thing)})

  @doc "The caller gets {:groceries, things} now and at each change."
  def follow do
    {:ok, _} = Registry.register(Groceries.Followers, :all, nil)
    send(self(), {:groceries, all()})
  end

  @impl true
  def init(file) do
    case File.read(file) do
      {:ok, text} -> {:ok, {file, String.split(text, "\n", trim: true)}}
      {:error, :enoent} -> {:ok, {file, []}}
      {:error, why} -> {:stop, {:cannot_read, file, why}}
    end
  end

  @impl true
  def handle_call(:all, _from, {_, things} = state), do: {:reply, things, state}

  def handle_call({:change, change}, _from, {file, things} = state) do
    new = change.(things)

    with :ok <- File.write(file <> ".new", Enum.map(new, &[&1, ?\n])),
         :ok <- File.rename(file <> ".new", file) do
      Registry.dispatch(Groceries.Followers, :all, fn followers ->
        for {pid, _} <- followers, do: send(pid, {:groceries, new})
      end)

      {:reply, :ok, {file, new}}
    else
      error -> {:reply, error, state}
    end
  end
end
