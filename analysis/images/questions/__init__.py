"""Binary visual question answering: how well answerers answer yes/no questions about images, drawn and real."""
