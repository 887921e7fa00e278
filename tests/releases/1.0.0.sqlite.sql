BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE cart_items (
	cart_id VARCHAR NOT NULL, 
	item_id INTEGER NOT NULL, 
	PRIMARY KEY (cart_id, item_id), 
	FOREIGN KEY(cart_id) REFERENCES carts (id), 
	FOREIGN KEY(item_id) REFERENCES items (id)
);
INSERT INTO "cart_items" VALUES('E_l1vVpB1xqjUBuJ5fzYYKDmeS_-4q9ggGkiNXqi3dhabtl7RJAUxcudzkbX7z4r',2);
INSERT INTO "cart_items" VALUES('ugnpnGfHFpjH1Vc3oTgGoL9MC0qU-1Tx19m-OoVvRRkGZZr0cgsiB0h4NT4laZm_',8);
INSERT INTO "cart_items" VALUES('ugnpnGfHFpjH1Vc3oTgGoL9MC0qU-1Tx19m-OoVvRRkGZZr0cgsiB0h4NT4laZm_',9);
CREATE TABLE carts (
	id VARCHAR NOT NULL, 
	version BIGINT NOT NULL, 
	purchases INTEGER NOT NULL, 
	merged_into VARCHAR, 
	PRIMARY KEY (id)
);
INSERT INTO "carts" VALUES('E_l1vVpB1xqjUBuJ5fzYYKDmeS_-4q9ggGkiNXqi3dhabtl7RJAUxcudzkbX7z4r',1795680171487,1,NULL);
INSERT INTO "carts" VALUES('ugnpnGfHFpjH1Vc3oTgGoL9MC0qU-1Tx19m-OoVvRRkGZZr0cgsiB0h4NT4laZm_',1795680171506,1,NULL);
CREATE TABLE catalog_stamp (
	id INTEGER NOT NULL, 
	changes BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "catalog_stamp" VALUES(1,33);
CREATE TABLE items (
	id INTEGER NOT NULL, 
	product_id INTEGER NOT NULL, 
	sku VARCHAR NOT NULL, 
	size VARCHAR NOT NULL, 
	available BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT available_not_negative CHECK (available >= 0), 
	FOREIGN KEY(product_id) REFERENCES products (id), 
	UNIQUE (sku)
);
INSERT INTO "items" VALUES(1,1,'OST-TIDELINE-060','6',531,1795680171482);
INSERT INTO "items" VALUES(2,1,'OST-TIDELINE-065','6.5',1171,1795680169959);
INSERT INTO "items" VALUES(3,1,'OST-TIDELINE-070','7',354,1795680171482);
INSERT INTO "items" VALUES(4,1,'OST-TIDELINE-075','7.5',0,1795680169959);
INSERT INTO "items" VALUES(5,1,'OST-TIDELINE-080','8',867,1795680169959);
INSERT INTO "items" VALUES(6,1,'OST-TIDELINE-085','8.5',250,1795680169959);
INSERT INTO "items" VALUES(7,1,'OST-TIDELINE-090','9',274,1795680171500);
INSERT INTO "items" VALUES(8,1,'OST-TIDELINE-095','9.5',1041,1795680169959);
INSERT INTO "items" VALUES(9,1,'OST-TIDELINE-100','10',0,1795680172031);
INSERT INTO "items" VALUES(10,1,'OST-TIDELINE-105','10.5',297,1795680169959);
INSERT INTO "items" VALUES(11,1,'OST-TIDELINE-110','11',575,1795680169959);
INSERT INTO "items" VALUES(12,1,'OST-TIDELINE-115','11.5',797,1795680169959);
INSERT INTO "items" VALUES(13,1,'OST-TIDELINE-120','12',260,1795680169959);
INSERT INTO "items" VALUES(14,2,'OST-KILN-060','6',1132,1795680169959);
INSERT INTO "items" VALUES(15,2,'OST-KILN-065','6.5',720,1795680169959);
INSERT INTO "items" VALUES(16,2,'OST-KILN-070','7',420,1795680169959);
INSERT INTO "items" VALUES(17,2,'OST-KILN-075','7.5',239,1795680169959);
INSERT INTO "items" VALUES(18,2,'OST-KILN-080','8',289,1795680169959);
INSERT INTO "items" VALUES(19,2,'OST-KILN-085','8.5',0,1795680169959);
INSERT INTO "items" VALUES(20,2,'OST-KILN-090','9',629,1795680169959);
INSERT INTO "items" VALUES(21,2,'OST-KILN-095','9.5',272,1795680169959);
INSERT INTO "items" VALUES(22,2,'OST-KILN-100','10',447,1795680169959);
INSERT INTO "items" VALUES(23,2,'OST-KILN-105','10.5',293,1795680169959);
INSERT INTO "items" VALUES(24,2,'OST-KILN-110','11',765,1795680169959);
INSERT INTO "items" VALUES(25,2,'OST-KILN-115','11.5',635,1795680169959);
INSERT INTO "items" VALUES(26,2,'OST-KILN-120','12',261,1795680169959);
CREATE TABLE order_lines (
	id INTEGER NOT NULL, 
	order_id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	sku VARCHAR NOT NULL, 
	brand VARCHAR NOT NULL, 
	product VARCHAR NOT NULL, 
	color VARCHAR NOT NULL, 
	size VARCHAR NOT NULL, 
	price INTEGER NOT NULL, 
	main_image VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(order_id) REFERENCES orders (id), 
	FOREIGN KEY(item_id) REFERENCES items (id)
);
INSERT INTO "order_lines" VALUES(1,1,1,'OST-TIDELINE-060','Ostervane','Tideline','Fog / Sea green','6',12000,'ostervane-tideline.svg');
INSERT INTO "order_lines" VALUES(2,1,3,'OST-TIDELINE-070','Ostervane','Tideline','Fog / Sea green','7',12000,'ostervane-tideline.svg');
INSERT INTO "order_lines" VALUES(3,2,7,'OST-TIDELINE-090','Ostervane','Tideline','Fog / Sea green','9',12000,'ostervane-tideline.svg');
CREATE TABLE orders (
	id INTEGER NOT NULL, 
	number VARCHAR NOT NULL, 
	cart_ref VARCHAR NOT NULL, 
	purchase INTEGER NOT NULL, 
	email VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	address VARCHAR NOT NULL, 
	placed BIGINT NOT NULL, 
	total BIGINT NOT NULL, 
	currency VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT purchase_made_once UNIQUE (cart_ref, purchase), 
	UNIQUE (number)
);
INSERT INTO "orders" VALUES(1,'QV6X-FG4P','fc23fdedcd7b78fd81',0,'kim@example.com','Kim Vale','4 Harbour Lane
Port Elsewhere 1203
Netherland',1795680171,24000,'USD');
INSERT INTO "orders" VALUES(2,'HZ78-HS98','5ea3c5e5d029d12702',0,'kim@example.com','Kim Vale','4 Harbour Lane
Port Elsewhere 1203
Netherland',1795680171,12000,'USD');
CREATE TABLE products (
	id INTEGER NOT NULL, 
	sku VARCHAR NOT NULL, 
	brand VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	color VARCHAR NOT NULL, 
	price INTEGER NOT NULL, 
	main_image VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	released BOOLEAN NOT NULL, 
	version BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT price_not_negative CHECK (price >= 0), 
	UNIQUE (sku)
);
INSERT INTO "products" VALUES(1,'OST-TIDELINE','Ostervane','Tideline','Fog / Sea green',12000,'ostervane-tideline.svg',1,1,1795680170605);
INSERT INTO "products" VALUES(2,'OST-KILN','Ostervane','Kiln','Clay / Bone',16500,'ostervane-kiln.svg',2,0,1795680169958);
CREATE INDEX ix_items_product_id ON items (product_id);
CREATE INDEX ix_carts_version ON carts (version);
CREATE INDEX ix_cart_items_item_id ON cart_items (item_id);
CREATE INDEX ix_order_lines_order_id ON order_lines (order_id);
CREATE TRIGGER count_insert_of_products AFTER insert ON products BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
CREATE TRIGGER count_update_of_products AFTER update ON products BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
CREATE TRIGGER count_delete_of_products AFTER delete ON products BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
CREATE TRIGGER count_insert_of_items AFTER insert ON items BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
CREATE TRIGGER count_update_of_items AFTER update ON items BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
CREATE TRIGGER count_delete_of_items AFTER delete ON items BEGIN UPDATE catalog_stamp SET changes = changes + 1; END;
COMMIT;
