import { render } from "preact";
import { useEffect, useState } from "preact/hooks";

function Service({ name, url, about }) {
  return (
    <li>
      <a href={url}>{name}</a> <small>{about}</small>
    </li>
  );
}

function Dashboard() {
  const [services, setServices] = useState([]);
  useEffect(() => {
    fetch("services.json")
      .then((answer) => answer.json())
      .then(setServices);
  }, []);
  return (
    <main>
      <h1>homelab</h1>
      <ul>{services.map((one) => <Service key={one.name} {...one} />)}</ul>
      <footer>dashboard {VERSION}</footer>
    </main>
  );
}

render(<Dashboard />, document.body);
